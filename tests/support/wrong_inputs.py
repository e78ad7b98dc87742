"""Wrong inputs of every command, generated: each option and argument gets wrong values of its kind, beside a valid rest."""

import typer

from bayestl.cli import app

COMMANDS = typer.main.get_command(app).commands


VALID = {
    "demo": [],
    "fit": ["data.csv", "--tasks", "dft,measured", "--features", "x", "--model", "multi-task", "-o", "new-model"],
    "predict": ["model", "data.csv", "-o", "new.csv"],
    "report": ["model", "-o", "new.html"],
    "diagnose": ["model"],
    "check": ["data.csv"],
    "compare": ["data.csv", "--tasks", "dft,measured", "--features", "x", "--models", "independent"],
    "reproduce": ["molecules"],
    "datasets": ["elements"],
    "suggest": ["campaign.db"],
    "begin": [
        "new.db",
        "--pool",
        "data.csv",
        "--tasks",
        "dft,measured",
        "--goal",
        "maximise measured",
        "--features",
        "x",
    ],
    "tell": ["campaign.db", "results.csv"],
    "status": ["campaign.db"],
    "withdraw": ["campaign.db", "1"],
    "export": ["campaign.db", "-o", "new.csv"],
    "simulate": ["data.csv", "--tasks", "dft,measured", "--goal", "maximise measured", "--features", "x"],
}
"""The right arguments of each command, for the files of the fixture ``folder``; "begin" is suggest with --pool."""

FILES = [
    "missing.csv",
    "",
    ".",
    "box",
    "empty.csv",
    "header.csv",
    "binary.csv",
    "binary.parquet",
    "data.csv/in.csv",
    "a" * 300,
]
MODELS = [
    "missing",
    "",
    ".",
    "box",
    "data.csv",
    "torn",
    "strange",
    "data.csv/in",
    "loop",
    "model/model.json",
    "MODEL",
    "mod*",
    "campaign.db",
    "a" * 300,
]
LEDGERS = [
    "missing.db",
    "",
    ".",
    "box",
    "empty.csv",
    "data.csv",
    "binary.csv",
    "binary.parquet",
    "data.csv/in",
    "torn.db",
    "changed.db",
    "model",
    "CAMPAIGN.DB",
    "campaign",
    "*.db",
    "loop",
    "campaign.db ",
    "a" * 300,
]
NUMBERS = ["", "x", "nan", "-1", "1,5", "0x10", "--", "1 2", "²"]
NAMES = ["nope", ",", "nope,dft", "dft,,nope", "DFT", "dft;measured", "'dft'", "dft measured"]
TO_FILE = ["", ".", "box", "data.csv", "data.csv/out", "data.csv/deep/out", "a" * 300, "loop", "box/"]
NO_TABLES = [
    "out",
    "out.doc",
    "out.xls",
    "out.ods",
    "out.csv.zip",
    "out.parquet.gz",
    "out.json",
    "out.",
    ".",
    "new/out",
    "out.cvs",
]
TO_FOLDER = ["", "data.csv", "data.csv/out", "a" * 300, "loop", "campaign.db"]
WRONG = {
    "data": FILES,
    "pool": FILES,
    "results": FILES,
    "model folder": MODELS,
    "ledger": LEDGERS,
    "output": TO_FILE,
    "tasks": [*NAMES, "", "dft,dft", "x,y", "word"],
    "features": [*NAMES, "composition:", "composition:nope", "composition:a,composition:b", "molecules:nope", "name", "gap:x"],
    "target": [*NAMES, ""],
    "groups": ["nope", "dft,measured"],
    "name": ["nope", "name,x"],
    "model": ["nope", "", "Difference", "gp", "1"],
    "models": ["nope", "", ",", "independent,nope", "Independent", "independent;chain"],
    "graph": ["dft", ">", "dft>", ">measured", "nope>measured", "dft>nope", "dft>dft", "dft>measured,measured>dft", "dft<measured"],
    "likelihoods": ["nope", "=", "dft=", "=hurdle", "nope=hurdle", "dft=nope", "dft=Hurdle", "dft:hurdle", "dft=hurdle,x=gaussian"],
    "presets": ["nope", "magpie,nope", "Magpie"],
    "hide": ["nope", "", "rows", "Target"],
    "costs": ["nope", "=", "dft=", "dft=x", "dft=-1", "dft=0", "dft=nan", "dft=inf", "nope=1", "1"],
    "goal": ["", "nope", "maximise", "maximise nope", "minimise dft -", "dft near x", "dft between 2 and 1", "learn nope", "best dft"],
    "acquisition": ["nope", "", "EI "],
    "known": ["nope", "dft,nope", "DFT"],
    "case": ["nope", "", "NO", "1"],
    "variant": ["nope", "", "G9"],
    "sizes": ["nope", "0", "-1", "20,x", "1.5", "nan", "²"],
    "split": ["nope", "", "KFold"],
    "what": ["nope", "", "Results", "result", "known", "results,open"],
    "level": [*NUMBERS, "0", "1", "90", "inf"],
    "budget": [*NUMBERS, "0", "-inf"],
    "folds": [*NUMBERS, "0", "1", "1.5", "1000"],
    "splits": [*NUMBERS, "0", "1", "1.5", "1000"],
    "start": [*NUMBERS, "0", "1.5", "1000"],
    "sep": ["ab", "", "..", "tabs"],
    "decimal": ["", ";", "1", ",."],
    "encoding": ["nope", "", "utf-99"],
    "skip_rows": [*NUMBERS, "1.5", "inf", "1000"],
    "sheet": ["1", "nope"],
    "std": ["nope", "dft=", "=x", "dft=nope", "nope=x", "dft=dft", "dft:x"],
    "seed": [*NUMBERS, "1.5", "inf", "1e3"],
}  # fmt: skip
COUNTS = [*NUMBERS, "0", "1.5", "inf", "1e3"]
"""Wrong values by the name of an option or argument; those that are not listed are counts."""


OPTIONS = {
    f"--{name.replace('_', '-')}": values
    for name, values in WRONG.items()
    if name not in ("data", "pool", "results", "output", "skip_rows", "encoding", "sheet", "tasks")
}
"""Values of options that are wrong whatever the files hold, or name what they do not hold."""


def kind_of(command, option):
    """The list of wrong values of an option: by its name, except where that means another thing."""
    if option == "model" and command in ("predict", "report", "diagnose"):
        return MODELS
    if option == "output" and command in ("demo", "reproduce", "simulate"):
        return TO_FOLDER
    if option == "output" and command in ("predict", "suggest", "datasets", "export"):
        return [*TO_FILE, *NO_TABLES]
    if option == "output" and command == "fit":
        return [*TO_FOLDER, ".", "box", "model"]
    if option == "name" and command == "datasets":
        return [
            "nope",
            "",
            "Elements",
            "elements.csv",
            "elements,freesolv",
            "element",
            "elements ",
            "all",
            "*",
            "gaps",
            "data.csv",
            "3",
            *[
                "--x",
                "elements.parquet",
                "ELEMENTS",
                "gold",
                "enthalpies",
                "small-tables",
                " ",
                "é",
                "band_gap",
                "[elements]",
                "\n",
            ],
        ]
    if option == "ledger" and command == "begin":
        return ["data.csv", "campaign.db", ".", "data.csv/in.db", "a" * 300, "loop"]
    if option == "n" and command == "status":
        return [value for value in COUNTS if value != "0"]
    if option == "numbers":
        return [*COUNTS, "99", "-99", "1;2", "1-2", "all", "m5", "1.5.2", "first", "#1"]
    if option == "tasks" and command == "check":
        return [*NAMES, "", "dft,dft"]
    if option == "hide" and command == "reproduce":
        return []  # of other cases: below
    return WRONG.get(option, COUNTS)


OTHERS = {
    "demo": [["--output"], ["bayestl-demo"]],
    "datasets": [["-o", "new.csv"], ["elements", "-o", "data.csv"]],
    "diagnose": [[folder, *options] for folder in MODELS for options in (["--json"], ["-q"], ["--folds", "3"])],
    "fit": [
        [
            "data.csv",
            "--tasks",
            "dft,measured",
            "--features",
            "x",
            "--model",
            "latent-variable",
            "-o",
            "new",
            "--graph",
            graph,
        ]
        for graph in WRONG["graph"]
    ]
    + [
        ["data.csv", "--tasks", "dft,measured", "--features", "x", "--model", "difference", "-o", "new", *more]
        for more in (["--target", "dft"], ["--budget", "3"], ["--graph", "dft>measured"])
    ],
    "compare": [
        ["data.csv", "--tasks", "dft,measured", "--features", "x", "--models", "latent-variable", "--graph", graph]
        for graph in WRONG["graph"]
    ],
    "reproduce": [
        [case, option, value]
        for case, option, values in [
            ("no", "--hide", ["nope", "Row", ""]),
            ("no", "--split", ["nope", "KFold", ""]),
            ("no", "--variant", ["G1"]),
            ("no", "--sizes", ["20"]),
            ("no", "--summary", [""]),
            ("color", "--hide", ["nope"]),
            ("color", "--split", ["metal"]),
            ("elements", "--hide", ["nope"]),
            ("elements", "--models", ["nope"]),
            ("gap", "--variant", ["nope", "g1"]),
            ("gap", "--seed", ["3"]),
            ("enthalpies", "--variant", ["nope", "SCAN"]),
            ("fidelities", "--variant", ["nope", "All"]),
            ("fidelities", "--sizes", ["20"]),
            ("small-tables", "--variant", ["nope"]),
            ("few-shots", "--variant", ["nope"]),
            ("few-shots", "--models", ["nope"]),
            ("small-tables", "-o", TO_FOLDER),
        ]
        for value in values
    ],
    "suggest": [
        ["campaign.db", option, value]
        for option, value in [
            ("--tasks", "dft"),
            ("--goal", "maximise dft"),
            ("--name", "name"),
            ("--features", "x"),
            ("--costs", "dft=2"),
            ("--likelihoods", "dft=hurdle"),
            ("--budget", "3"),
        ]
    ],
    "status": [[ledger, "--json"] for ledger in LEDGERS],
    "withdraw": [
        ["campaign.db", *numbers]
        for numbers in (["1", "99"], ["1", "x"], ["1", "--suggestions"], ["99", "--suggestions"])
    ],
    "tell": [["campaign.db", f"wrong-{k}.csv"] for k in range(12)],
}
"""Further wrong lines, whose fault is not in one option."""


def cases():
    """Every wrong line, as a command and its arguments."""
    for key, valid in VALID.items():
        command = "suggest" if key == "begin" else key
        lines = [[*valid, "--nope"], [*valid, "--nope", "3"], [*valid, "too", "many", "words"], ["-Q", *valid]]
        needed = [p.opts for p in COMMANDS[command].params if p.required]
        for k in range(len(valid)):
            named = sum(not opts[-1].startswith("-") for opts in needed) <= k
            if not named or not all(opts[-1][0] != "-" or {*opts} & {*valid[:k]} for opts in needed):
                lines.append(valid[:k])
        for parameter in COMMANDS[command].params:
            option, name = parameter.opts[-1], parameter.name
            is_option = option.startswith("-")
            if is_option and len(option) > 2:
                spellings = (f"{option}x", f"-{option}", option.upper(), option.replace("--", "--no"))
                lines += [[*valid, spelling, "3"] for spelling in spellings]
            if getattr(parameter, "is_flag", False):
                lines += [[*valid, f"{option}={word}"] for word in ("3", "no", "")]
                continue
            if key == "suggest" and is_option and name not in ("n", "output"):
                continue  # for a new campaign
            for value in kind_of(key, name):
                if is_option:
                    without = list(valid)
                    for spelling in parameter.opts:
                        if spelling in without:
                            at = without.index(spelling)
                            del without[at : at + 2]
                    lines.append([*without, option, value])
                else:
                    place = [p.name for p in COMMANDS[command].params if not p.opts[-1].startswith("-")].index(name)
                    lines.append([*valid[:place], value, *valid[place + 1 :]])
            if is_option:
                lines.append([*valid, option])
        for arguments in lines + OTHERS.get(key, []):
            yield key, command, list(arguments)


CASES = [(key, [command, *arguments]) for key, command, arguments in cases()]
