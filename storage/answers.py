"""Answers that take long to find and never change, kept under a name that follows from the question.

A question names all that its answer depends on, so that an answer is never out of date. Whoever removes the folder
`answers/` loses no more than the time to find them again.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from storage.digests import value_digest
from storage.store import Store

_FOLDER = "answers"
_NAME_DIGITS = 24


def answer(store: Store, question: Mapping[str, Any], find: Callable[[], Any]) -> Any:
    """What `find` gave when the question was first asked, or gives now; both are JSON values.

    Where the store takes no answer, the question is asked again the next time.
    """
    path = f"{_FOLDER}/{value_digest(question)[:_NAME_DIGITS]}.json"
    try:
        known = json.loads(store.read_bytes(path))
        if known["question"] == question and known["digest"] == value_digest(known["answer"]):
            return known["answer"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # never asked, or damaged: it is found anew
    found = find()
    kept = {"question": question, "answer": found, "digest": value_digest(found)}
    body = json.dumps(kept, indent=1, sort_keys=True, allow_nan=False)
    with suppress(OSError):  # a store that can only be read can still be asked
        store.publish_bytes(path, body.encode())
    return found
