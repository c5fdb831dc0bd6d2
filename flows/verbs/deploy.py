"""The verb that prints what brings runs to a cluster: `deploy`."""

from importlib import resources

import click

FILES = {
    "docker": "Dockerfile",
    "kubernetes": "kubernetes.yaml",
    "prefect-work-pool": "prefect-work-pool.json",
    "slurm": "slurm.sbatch",
    "readme": "README.md",
}


@click.command()
@click.argument("what", type=click.Choice(list(FILES)))
def deploy(what: str) -> None:
    """Print a file that brings runs to a cluster; `gristmill deploy readme` says how each is used.

    \b
    docker              an image for runs and workers
    kubernetes          a Job, a Dask scheduler and workers
    prefect-work-pool   the job template of a work pool, for runs that Prefect starts on Kubernetes
    slurm               a batch script: a Dask scheduler, workers on all nodes, and the run

    \b
    gristmill deploy kubernetes > gristmill.yaml && kubectl apply -f gristmill.yaml
    gristmill deploy slurm > gristmill.sbatch && sbatch gristmill.sbatch commoncrawl --set goal=corpus
    """
    click.echo((resources.files("flows") / "deploy" / FILES[what]).read_text(encoding="utf-8"), nl=False)
