"""What was withdrawn is to dedup as if it had never been crawled: no witness, no copy, no member of a cluster."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.withdrawn.rule import Withdrawn

ENDS = ("", " and", " and one", " and one more", " and one more of these")
TEXTS = [" ".join(f"{letter}{number}" for number in range(60)) for letter in "ab"]
WITHDRAWN = Withdrawn(urls=("gone.example/1", "gone.example/2", "gone.example/3"))

pages = st.builds(
    dict,
    text=st.builds("{}{}".format, st.sampled_from(TEXTS), st.sampled_from(ENDS)) | st.sampled_from(["", "two words"]),
    host=st.sampled_from(["a.example", "b.example", "gone.example", "www.gone.example"]),
    path=st.sampled_from("123"),
    quality=st.sampled_from([None, 0.1, 0.9]),
    source=st.sampled_from(["one.warc.gz", "two.warc.gz"]),
    dropped=st.sampled_from([False, False, False, True]),
)
keeps = st.sampled_from(
    [
        DedupParameters(),
        DedupParameters(url=False),
        DedupParameters(keep=("quality", "longest"), quality_signal="quality"),
        DedupParameters(keep=("source",), source_priority=("two*", "one*")),
    ]
)


# the first example compiles; the fixtures hold nothing
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(pages, max_size=5), min_size=1, max_size=3), keeps)
def test_what_was_withdrawn_is_as_if_it_had_never_been_crawled(run_dedup, page, drawn, parameters) -> None:
    def parts(is_crawled) -> dict[str, list[object]]:
        return {
            f"part-{number:05d}": [
                page(
                    number=100 * number + row,
                    text=each["text"],
                    url=f"https://{each['host']}/{each['path']}",
                    quality=each["quality"],
                    source=each["source"],
                    dropped=each["dropped"],
                )
                for row, each in enumerate(listed)
                if is_crawled(each)
            ]
            for number, listed in enumerate(drawn)
        }

    def is_left(each: dict[str, object]) -> bool:
        return not str(each["host"]).endswith("gone.example")

    with (
        run_dedup(parts(lambda each: True), parameters, WITHDRAWN) as found,
        run_dedup(parts(is_left), parameters) as expected,
    ):
        assert found.duplicates == expected.duplicates
        assert found.clusters == expected.clusters
        assert found.account == expected.account
        dropped = found.stages["withdrawn"].manifest.account.dropped
        gone = [each for listed in drawn for each in listed if not is_left(each) and not each["dropped"]]
        assert dropped == ({"withdrawn_url": len(gone)} if gone else {})
