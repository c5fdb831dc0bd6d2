"""Options that several verbs have: the same name, meaning and words everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flows.home import DEFAULT_STORE

Command = TypeVar("Command", bound=Callable[..., Any])

store_option = click.option(
    "--store",
    "store_url",
    metavar="URL",
    envvar="GRISTMILL_STORE",
    default=DEFAULT_STORE,
    show_default=True,
    show_envvar=True,
    help="Folder or fsspec URL that holds stages and runs.",
)
run_argument = click.argument("run", metavar="[RUN]", default="latest")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder to write; must be new or empty."
)
text_field_option = click.option(
    "--text-field", metavar="NAME", default="text", show_default=True, help="Column or key that holds the text."
)
id_field_option = click.option(
    "--id-field", metavar="NAME", help="Column of the ids.  [default: id or doc_id, else made]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")

runner_option = click.option(
    "--runner",
    type=click.Choice(["processes", "threads", "dask", "ray"]),
    default="processes",
    show_default=True,
    help="Where parts are worked on; dask and ray start a cluster on this machine. The result is the same.",
)
dask_address_option = click.option(
    "--dask-address",
    metavar="ADDRESS",
    help="A Dask scheduler to use with --runner dask, such as tcp://host:8786. Trust it: it and the run make each "
    "other execute code.",
)
ray_address_option = click.option(
    "--ray-address",
    metavar="ADDRESS",
    help="A Ray cluster to use with --runner ray: host:6379 on one of its machines, or ray://host:10001. Trust it "
    "likewise.",
)


def set_option(what: str) -> Callable[[Command], Command]:
    return click.option(
        "--set", "overrides", metavar="KEY=VALUE", multiple=True, help=f"Override a key of {what}; repeatable."
    )


def workers_option(what: str) -> Callable[[Command], Command]:
    """`what`: what there are so many of."""
    return click.option(
        "--workers",
        metavar="N",
        type=click.IntRange(min=1),
        envvar="GRISTMILL_WORKERS",
        show_envvar=True,
        help=f"{what}.  [default: the cores this process may use]",
    )
