"""The list of error messages in the documentation is that of the code."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTERNAL = {"AttributeError", "typer.Exit", "torch.linalg.LinAlgError"}
"""Python's own for a missing name, the end of a command, and what the engines catch."""


def templates(node):
    """The text of a message, or of its alternatives, with an ellipsis for each part that varies."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in templates(node.left) for b in templates(node.right)]
    if isinstance(node, ast.IfExp):
        return templates(node.body) + templates(node.orelse)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Warning"):
        return templates(node.args[0])
    return ["…"]


def messages():
    """Where each message of the package is raised or warned of."""
    found = {}
    for path in sorted((ROOT / "bayestl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.exc if isinstance(node, ast.Raise) else node
            if not (isinstance(call, ast.Call) and call.args):
                continue
            name = ast.unparse(call.func)
            if (isinstance(node, ast.Raise) and name not in INTERNAL) or name == "warnings.warn":
                for text in templates(call.args[0]):
                    text = re.sub("…+", "…", text)
                    if re.search(r"\w", text):  # else it passes on the message of another error
                        found.setdefault(text, f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def listed():
    """The messages of the page, each from the first column of a table."""
    cells = re.findall(r"^\| (`+)(.+?)\1 \|", (ROOT / "docs" / "errors.md").read_text(), flags=re.MULTILINE)
    return [text for _, text in cells]


def test_every_message_is_listed_and_every_listed_one_exists():
    raised, page = messages(), listed()
    assert len(raised) > 150
    missing = {text: place for text, place in raised.items() if text not in page}
    assert not missing, f"not in docs/errors.md: {missing}"
    assert not set(page) - set(raised), f"no longer raised: {set(page) - set(raised)}"
    assert len(page) == len(set(page))
