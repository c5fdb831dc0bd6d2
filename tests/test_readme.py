"""The README says what the program does: its command reference is the program's own help."""

from pathlib import Path

import click

from flows.cli import main

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- command reference: begin -->\n", "<!-- command reference: end -->\n"


def command_reference() -> str:
    """The help of every verb, as Markdown."""
    blocks = []

    def add(command: click.Command, name: str, parent: click.Context | None) -> None:
        context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
        context.terminal_width = 100
        if isinstance(command, click.Group):
            for verb in command.list_commands(context):
                child = command.get_command(context, verb)
                assert child is not None
                add(child, verb, context)
        else:
            blocks.append(f"```text\n{command.get_help(context)}\n```\n")

    add(main, "gristmill", None)
    return "\n".join(blocks)


def test_the_command_reference_is_the_help(renew: bool) -> None:
    text = README.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    found, _, tail = rest.partition(END)
    if renew:
        README.write_text(f"{head}{BEGIN}\n{command_reference()}\n{END}{tail}", encoding="utf-8")
        return
    assert found.strip() == command_reference().strip(), "run `make golden` and read the difference"


def test_every_command_line_in_the_readme_parses() -> None:
    """Verbs and options named in code blocks exist; what they do, other tests run."""
    text = README.read_text(encoding="utf-8").partition(BEGIN)[0]
    lines = [
        line.strip().removeprefix("$ ")
        for block in text.split("```")[1::2]
        for line in block.splitlines()
        if line.strip().removeprefix("$ ").startswith("gristmill ")
    ]
    assert lines
    for line in lines:
        words = line.partition("  #")[0].split()[1:]
        command: click.Command = main
        context = click.Context(main, info_name="gristmill")
        while isinstance(command, click.Group):
            found = command.get_command(context, words[0])
            assert found is not None, f"README names {line!r}, there is no such verb"
            command, words = found, words[1:]
        options = {name for parameter in command.params for name in parameter.opts}
        unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
        assert not unknown, f"README names {line!r}: {unknown} are no options of it"
