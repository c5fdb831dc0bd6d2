"""A run's model put to work on a prompt."""

from model.model_files import read_decoder, read_description
from model.parameters import SamplingParameters
from model.sampling import continue_tokens
from pipeline_lib.tokenizer.model import load_tokenizer
from storage.manifests import open_stage
from storage.runs import Run
from storage.store import Store
from storage.wrong_request import WrongRequest


def generate_text(store: Store, run: Run, prompt: str, sampling: SamplingParameters) -> str:
    """The model's continuation of a prompt, without the prompt.

    Raises:
        WrongRequest: the run trained no model.
        TokenizerMismatch: the run's tokenizer is not the model's.
    """
    trained, tokenized = run.stage("train"), run.stage("tokenizer")
    if trained is None or tokenized is None:
        raise WrongRequest(f"run {run.run_id} trained no model (it is {run.status}, goal {run.recipe.get('goal')})")
    stage = open_stage(store, trained.address)
    with stage.local_file("config") as path:
        description = read_description(path)
    with stage.local_file("model") as path:
        decoder = read_decoder(path, description.config)
    with open_stage(store, tokenized.address).local_file("model") as path:
        tokenizer = load_tokenizer(path)
    description.tokenizer.require(tokenizer.identity, f"run {run.run_id}'s tokenizer")
    tokens = [tokenizer.identity.bos_id, *tokenizer.encode(prompt)]
    continuation = continue_tokens(decoder, tokens, sampling, end_of_text=tokenizer.identity.eos_id)
    return tokenizer.decode(continuation.tokens)
