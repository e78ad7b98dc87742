"""The file behind a campaign: every suggestion and every result, as it was written or refused."""
