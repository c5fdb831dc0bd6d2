"""Candidates by locality-sensitive hashing: documents whose signatures agree in a whole band, who hangs together, and
who is removed: each only after an exact comparison with a document that stays.

Source of the banding: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4. Two documents of similarity s
agree in at least one of b bands of r rows with probability 1 - (1 - s^r)^b.

These kernels call each other, so they stand in one file: see shingles.py.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Offsets
from pipeline_lib.kernels.shingles import Hashes, Values

Indices = npt.NDArray[np.int64]
SmallIndices = npt.NDArray[np.int32]  # of documents: 4 bytes each make two thousand million

KEPT, EXACT, URL, NEAR = 0, 1, 2, 3  # what is decided about a document

BUCKET_BITS = 12  # band keys are counted, and scattered, by their upper bits

_SEED = np.uint64(0x243F6A8885A308D3)  # of pi
_MULTIPLY_1, _MULTIPLY_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)
_SHIFT_29, _SHIFT_33 = np.uint64(29), np.uint64(33)
_BUCKET_SHIFT = np.uint64(64 - BUCKET_BITS)


class Verdicts(NamedTuple):
    """For documents 0 .. N - 1, best first.

    Attributes:
        rule: int8 (N,): KEPT, or by what rule it is removed.
        kept_by: int32 (N,): the kept document that removes this one; -1 for those that are kept.
        similarity: float64 (N,): exact similarity of the two sets of shingles, 1 of equal texts; 0 where none was
            compared.
        bands_shared: int32 (N,): bands in which the two agree; 0 but for NEAR.
        clusters: int32 (N,): the smallest index of those that hang together by what was found equal or similar.
        compared: pairs whose sets were compared.
        verified: those of them that are similar.
        not_compared: candidate pairs left out because a document had more than `max_candidates`.
        full_keys: how often a band key had no room for another kept document.
    """

    rule: npt.NDArray[np.int8]
    kept_by: SmallIndices
    similarity: npt.NDArray[np.float64]
    bands_shared: SmallIndices
    clusters: SmallIndices
    compared: int
    verified: int
    not_compared: int
    full_keys: int


class Pairs(NamedTuple):
    """Pairs of sets of shingles, by number, with the similarity of each.

    Attributes:
        starts, counts: int64 (S,): the pairs of which set s is `removed` are counts[s] from starts[s] on; both empty
            where there are no pairs at all.
        removed, kept: int32 (P,): the set of the document that may be removed, and that of its witness; `kept`
            ascending among the pairs of one set.
        similarities: float64 (P,): exact; NaN until they are compared.
    """

    starts: Indices
    counts: Indices
    removed: SmallIndices
    kept: SmallIndices
    similarities: npt.NDArray[np.float64]


NO_PAIRS = Pairs(
    starts=np.zeros(0, np.int64),
    counts=np.zeros(0, np.int64),
    removed=np.zeros(0, np.int32),
    kept=np.zeros(0, np.int32),
    similarities=np.zeros(0, np.float64),
)


class _Kept(NamedTuple):
    """Kept documents by band key: lists of entries that are linked from new to old.

    Attributes:
        last, counts: int32 (keys,): the newest entry of each, -1 for none, and how many there are.
        documents, before: int32 (entries,): whose entry it is, and the one before it, -1 for none.
        num_entries: int64 (1,): how many there are of all keys.
    """

    last: SmallIndices
    counts: SmallIndices
    documents: SmallIndices
    before: SmallIndices
    num_entries: Indices


@njit(nogil=True, cache=True)
def band_keys(signatures: Values, num_bands: int, keys: Hashes) -> None:
    """One 64-bit key a band and document: equal keys mean equal bands, but for chance (1 in 1.8 * 10^19).

    Keys of different bands differ, too.

    Args:
        signatures: uint32 (N, P), P a multiple of num_bands.
        keys: uint64 (num_bands, N): overwritten.
    """
    rows = signatures.shape[1] // num_bands
    for i in range(signatures.shape[0]):
        for band in range(num_bands):
            key = _SEED * np.uint64(2 * band + 1)  # different in the upper half, which the values leave alone
            for row in range(band * rows, (band + 1) * rows):
                key = (key ^ np.uint64(signatures[i, row])) * _MULTIPLY_1
                key ^= key >> _SHIFT_29
            key *= _MULTIPLY_2
            keys[band, i] = key ^ (key >> _SHIFT_33)


@njit(nogil=True, cache=True)
def count_buckets(keys: Hashes, num_shingles: SmallIndices, counts: Indices) -> None:
    """Add to counts (num_bands, 2^BUCKET_BITS) the keys (num_bands, N) of signed documents, by their upper bits."""
    for band in range(keys.shape[0]):
        for i in range(keys.shape[1]):
            counts[band, np.int64(keys[band, i] >> _BUCKET_SHIFT)] += np.int64(num_shingles[i] > 0)


@njit(nogil=True, cache=True)
def scatter_keys(
    keys: Hashes,
    start: int,
    members: npt.NDArray[np.bool_],
    runs: SmallIndices,
    ends: Indices,
    scattered: Hashes,
    positions: SmallIndices,
) -> None:
    """Put the keys of members, and their positions, into the runs that their buckets belong to, in order.

    Args:
        keys: uint64 (N,): of the documents from position `start` on.
        members: bool, by position: which documents take part.
        runs: int32 (2^BUCKET_BITS,): the run of each bucket; -1: left out.
        ends: int64, by run: where its next key goes; advanced.
        scattered, positions: what is written.
    """
    for i in range(keys.shape[0]):
        run = runs[np.int64(keys[i] >> _BUCKET_SHIFT)]
        if run >= 0 and members[start + i]:
            at = ends[run]
            scattered[at] = keys[i]
            positions[at] = start + i
            ends[run] = at + 1


@njit(nogil=True, cache=True)
def unite_runs(
    scattered: Hashes, positions: SmallIndices, starts: Indices, ends: Indices, parents: SmallIndices
) -> None:
    """Unite the documents with equal keys; equal keys are in one run.

    A run is looked up in a hash table of its own: one that fits in the cache where runs are short.

    Args:
        starts, ends: int64, by run: scattered[starts[r]:ends[r]].
        parents: int32, by position: a forest, changed in place; roots are the smallest index of their tree.
    """
    longest = 0
    for run in range(starts.shape[0]):
        longest = max(longest, ends[run] - starts[run])
    bits = 4
    while (1 << bits) < 2 * longest:
        bits += 1
    table = np.empty(1 << bits, np.int32)
    for run in range(starts.shape[0]):
        start, num_keys = starts[run], ends[run] - starts[run]
        bits = 4
        while (1 << bits) < 2 * num_keys:
            bits += 1
        mask = (1 << bits) - 1
        shift = np.uint64(64 - bits)
        table[: mask + 1] = -1
        for i in range(num_keys):
            key = scattered[start + i]
            slot = np.int64((key * _MULTIPLY_1) >> shift)  # the upper bits themselves are much the same in a run
            while table[slot] >= 0 and scattered[start + table[slot]] != key:
                slot = (slot + 1) & mask
            if table[slot] < 0:
                table[slot] = i
            else:
                _unite(parents, positions[start + table[slot]], positions[start + i])


@njit(nogil=True, cache=True)
def unite_pairs(left: SmallIndices, right: SmallIndices, parents: SmallIndices) -> None:
    """Unite left[i] with right[i], for all i."""
    for i in range(left.shape[0]):
        _unite(parents, left[i], right[i])


@njit(nogil=True, cache=True)
def roots(parents: SmallIndices) -> None:
    """Let each point to the smallest index of its tree, in place."""
    for i in range(parents.shape[0]):  # a parent comes before its children, so that its own is its root already
        parents[i] = parents[parents[i]]


@njit(nogil=True, cache=True)
def shared_keys(keys: Hashes, groups: SmallIndices) -> int:
    """Number the band keys that two documents or more have in common.

    Args:
        keys: uint64 (N, bands).
        groups: int32 (N, bands): overwritten with the number of each key, counted through all bands; -1: nobody
            else's.

    Returns:
        How many there are.
    """
    num_documents, num_bands = keys.shape
    bits = 4
    while (1 << bits) < 2 * num_documents:
        bits += 1
    mask = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    first = np.empty(mask + 1, np.int32)
    num_groups = 0
    for band in range(num_bands):
        first[:] = -1
        for i in range(num_documents):
            groups[i, band] = -1
            key = keys[i, band]
            slot = np.int64(key >> shift)
            while first[slot] >= 0 and keys[first[slot], band] != key:
                slot = (slot + 1) & mask
            if first[slot] < 0:
                first[slot] = i
                continue
            if groups[first[slot], band] < 0:
                groups[first[slot], band] = num_groups
                num_groups += 1
            groups[i, band] = groups[first[slot], band]
    return num_groups


@njit(nogil=True, cache=True)
def list_pairs(
    earlier: npt.NDArray[np.bool_],
    sets: SmallIndices,
    groups: SmallIndices,
    num_groups: int,
    passed_over: npt.NDArray[np.bool_],
    max_candidates: int,
    max_pairs: int,
) -> Pairs:
    """The pairs of sets that `judge_in_order` would compare if it kept all documents but those that are passed over.

    Work and memory are bounded as there.

    Args:
        earlier, sets, groups, num_groups, max_candidates: see `judge_in_order`.
        passed_over: bool (S,): sets that are nobody's witness.
        max_pairs: at the first document with which there would be more, the list ends.
    """
    num_documents, num_sets = sets.shape[0], groups.shape[0]
    starts, counts = np.zeros(num_sets, np.int64), np.zeros(num_sets, np.int64)
    room = min(max_pairs, num_sets * max_candidates)
    removed, others = np.empty(room, np.int32), np.empty(room, np.int32)
    num_pairs = 0
    kept = _none_kept(sets, groups, num_groups)
    shared = np.zeros(num_documents, np.int32)
    candidates = np.empty(num_documents, np.int32)
    met = np.zeros(num_sets, np.bool_)
    for i in range(num_documents):
        own = sets[i]
        if own < 0 or met[own]:
            continue
        met[own] = True
        if not earlier[i]:
            num_candidates, _ = _choose_candidates(groups[own], kept, max_candidates, shared, candidates)
            if num_pairs + num_candidates > max_pairs:
                break
            starts[own], counts[own] = num_pairs, num_candidates
            for j in range(num_candidates):
                removed[num_pairs + j] = own
                others[num_pairs + j] = sets[candidates[j]]
            others[num_pairs : num_pairs + num_candidates].sort()
            num_pairs += num_candidates
        if not passed_over[own]:
            _keep(i, groups[own], kept, max_candidates)
    return Pairs(starts, counts, removed[:num_pairs], others[:num_pairs], np.full(num_pairs, np.nan))


@njit(nogil=True, cache=True)
def judge_in_order(
    same_text: SmallIndices,
    same_url: SmallIndices,
    earlier: npt.NDArray[np.bool_],
    sets: SmallIndices,
    groups: SmallIndices,
    num_groups: int,
    shingles: Hashes,
    starts: Offsets,
    sizes: Indices,
    compared_before: Pairs,
    threshold: float,
    containment: bool,
    max_candidates: int,
) -> Verdicts:
    """Walk the documents best first; remove each that equals or resembles one that was kept before it.

    A document is removed by the kept one of the same text, else by the kept one of the same URL, else by the most
    similar of the kept ones that share a band with it and are at least as similar as the threshold; of equally similar
    ones the best. Equal texts have equal shingles: where one of them was removed for similarity, those that come after
    it go with it. Where it was removed for its URL, the next of them is compared itself.

    More candidates than `max_candidates`: those that share most bands, then the best. A band key remembers the first
    `max_candidates` kept documents. So work and memory are linear in documents: at most bands * max_candidates steps
    and max_candidates comparisons for each.

    Args:
        same_text, same_url: int32 (N,): the first document with the same text, and URL: itself where there is none.
        earlier: bool (N,): kept whatever it is like.
        sets: int32 (N,): which of the S sets of shingles is the document's, the same for equal texts; -1: like none.
        groups, num_groups: the band keys of each set by number, int32 (S, bands): see `shared_keys`.
        shingles, starts, sizes: set s is shingles[starts[s]:][:sizes[s]], sorted and distinct.
        compared_before: pairs whose similarity need not be computed again; any of them, they change no verdict.
        threshold: a similarity at least as high removes.
        containment: whether the similarity is |A and B| / |A|, A of the document to be removed, or Jaccard's.
        max_candidates: at least 1.
    """
    num_documents, num_bands = same_text.shape[0], groups.shape[1]
    rule = np.zeros(num_documents, np.int8)
    kept_by = np.full(num_documents, -1, np.int32)
    similarity = np.zeros(num_documents, np.float64)
    bands_shared = np.zeros(num_documents, np.int32)
    clusters = np.arange(num_documents).astype(np.int32)
    compared, verified, not_compared, full_keys = 0, 0, 0, 0

    kept_of_text = np.full(num_documents, -1, np.int32)
    kept_of_url = np.full(num_documents, -1, np.int32)
    near_of_text = np.full(num_documents, -1, np.int32)

    kept = _none_kept(sets, groups, num_groups)
    shared = np.zeros(num_documents, np.int32)
    candidates = np.empty(num_documents, np.int32)
    for i in range(num_documents):
        text, url, own = same_text[i], same_url[i], sets[i]
        if not earlier[i]:
            if kept_of_text[text] >= 0:
                rule[i], kept_by[i], similarity[i] = EXACT, kept_of_text[text], 1.0
            elif kept_of_url[url] >= 0:
                rule[i], kept_by[i] = URL, kept_of_url[url]
            elif near_of_text[text] >= 0:
                other = near_of_text[text]
                rule[i], kept_by[i], similarity[i] = NEAR, kept_by[other], similarity[other]
                bands_shared[i] = bands_shared[other]
            if rule[i] != KEPT:
                _unite(clusters, kept_by[i], i)
                continue
            if own >= 0:
                num_chosen, num_left = _choose_candidates(groups[own], kept, max_candidates, shared, candidates)
                not_compared += num_left
                for j in range(num_chosen):
                    candidate = candidates[j]
                    compared += 1
                    its = sets[candidate]
                    alike = _known_similarity(own, its, compared_before)
                    if alike < 0.0:
                        alike = set_similarity(
                            shingles[starts[own] : starts[own] + sizes[own]],
                            shingles[starts[its] : starts[its] + sizes[its]],
                            threshold,
                            containment,
                        )
                    if alike < threshold:
                        continue
                    verified += 1
                    _unite(clusters, candidate, i)
                    if alike > similarity[i] or (alike == similarity[i] and candidate < kept_by[i]):
                        rule[i], kept_by[i], similarity[i] = NEAR, candidate, alike
                if rule[i] == NEAR:
                    its = sets[kept_by[i]]
                    for band in range(num_bands):  # not `shared`: a full key did not count
                        bands_shared[i] += groups[own, band] >= 0 and groups[own, band] == groups[its, band]
                    near_of_text[text] = i
                    continue
        if kept_of_text[text] < 0:
            kept_of_text[text] = i
        if kept_of_url[url] < 0:
            kept_of_url[url] = i
        if own >= 0:
            full_keys += _keep(i, groups[own], kept, max_candidates)
    roots(clusters)
    return Verdicts(rule, kept_by, similarity, bands_shared, clusters, compared, verified, not_compared, full_keys)


@njit(nogil=True, cache=True)
def _none_kept(sets: SmallIndices, groups: SmallIndices, num_groups: int) -> _Kept:
    """With room for all documents."""
    room = 0
    for i in range(sets.shape[0]):
        if sets[i] >= 0:
            for band in range(groups.shape[1]):
                room += groups[sets[i], band] >= 0
    return _Kept(
        np.full(num_groups, -1, np.int32),
        np.zeros(num_groups, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.zeros(1, np.int64),
    )


@njit(nogil=True, cache=True)
def _keep(document: int, its_groups: SmallIndices, kept: _Kept, max_candidates: int) -> int:
    """Enter a document under its band keys; how many of them had no room for it."""
    num_full = 0
    for band in range(its_groups.shape[0]):
        group = its_groups[band]
        if group < 0:
            continue
        if kept.counts[group] == max_candidates:
            num_full += 1
            continue
        entry = kept.num_entries[0]
        kept.documents[entry] = document
        kept.before[entry] = kept.last[group]
        kept.last[group] = entry
        kept.counts[group] += 1
        kept.num_entries[0] = entry + 1
    return num_full


@njit(nogil=True, cache=True)
def _choose_candidates(
    its_groups: SmallIndices, kept: _Kept, max_candidates: int, shared: SmallIndices, candidates: SmallIndices
) -> tuple[int, int]:
    """Write the kept documents that a document is to be compared with to `candidates`: how many they are, and how many
    others share a band with it.

    Args:
        shared: int32 (N,): zeros, and zeros again afterwards.
        candidates: int32 (N,).
    """
    num_documents, num_bands = shared.shape[0], its_groups.shape[0]
    num_candidates = 0
    for band in range(num_bands):
        group = its_groups[band]
        if group < 0:
            continue
        entry = kept.last[group]
        while entry >= 0:
            candidate = kept.documents[entry]
            if shared[candidate] == 0:
                candidates[num_candidates] = candidate
                num_candidates += 1
            shared[candidate] += 1
            entry = kept.before[entry]
    num_chosen = min(num_candidates, max_candidates)
    if num_candidates > max_candidates:
        # most bands shared first, then best first
        ranks = np.empty(num_candidates, np.int64)
        for j in range(num_candidates):
            ranks[j] = (num_bands - shared[candidates[j]]) * num_documents + candidates[j]
            shared[candidates[j]] = 0
        ranks.sort()
        for j in range(num_chosen):
            candidates[j] = ranks[j] % num_documents
    else:
        for j in range(num_candidates):
            shared[candidates[j]] = 0
    return num_chosen, num_candidates - num_chosen


@njit(nogil=True, cache=True)
def _known_similarity(removed: int, kept: int, pairs: Pairs) -> float:
    """-1 for a pair that is not among them."""
    if pairs.starts.shape[0] == 0:
        return -1.0
    low = pairs.starts[removed]
    end = low + pairs.counts[removed]
    high = end
    while low < high:
        middle = (low + high) // 2
        if pairs.kept[middle] < kept:
            low = middle + 1
        else:
            high = middle
    if low < end and pairs.kept[low] == kept:
        return float(pairs.similarities[low])
    return -1.0


@njit(nogil=True, cache=True)
def set_similarity(one: Hashes, other: Hashes, threshold: float, containment: bool) -> float:
    """Exact similarity of two sorted sets, Jaccard's or the share of `one` that is in `other`; 0 as soon as it must be
    below the threshold."""
    total = one.shape[0] + other.shape[0]
    # the smallest intersection that reaches the threshold, by the very division that is compared with it
    if containment:
        needed = max(1, int(threshold * one.shape[0]) - 1)
        while needed < one.shape[0] and needed / one.shape[0] < threshold:
            needed += 1
    else:
        needed = max(1, int(threshold * total / (1.0 + threshold)) - 1)
        while needed < total - needed and needed / (total - needed) < threshold:
            needed += 1
    spare_of_one, spare_of_other = one.shape[0] - needed, other.shape[0] - needed
    if spare_of_one < 0 or spare_of_other < 0:
        return 0.0
    i, j, intersection = 0, 0, 0
    while i < one.shape[0] and j < other.shape[0]:
        if one[i] == other[j]:
            intersection += 1
            i += 1
            j += 1
        elif one[i] < other[j]:
            i += 1
            if i - intersection > spare_of_one:
                return 0.0
        else:
            j += 1
            if j - intersection > spare_of_other:
                return 0.0
    if containment:
        return float(intersection / one.shape[0])
    return float(intersection / (total - intersection))


@njit(nogil=True, cache=True)
def _root(parents: SmallIndices, index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@njit(nogil=True, cache=True)
def _unite(parents: SmallIndices, one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@njit(nogil=True, cache=True)
def smallest_ids(clusters: SmallIndices, doc_ids: Hashes) -> SmallIndices:
    """The document with the smallest doc_id of each cluster, by the document that the cluster is named after."""
    smallest = np.full(clusters.shape[0], np.int32(-1))
    for i in range(clusters.shape[0]):
        other = smallest[clusters[i]]
        if (
            other < 0
            or doc_ids[i, 0] < doc_ids[other, 0]
            or (doc_ids[i, 0] == doc_ids[other, 0] and doc_ids[i, 1] < doc_ids[other, 1])
        ):
            smallest[clusters[i]] = i
    return smallest
