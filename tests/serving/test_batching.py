"""Sessions of many requests, scored at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.serving.batching import Batcher, QueueFull
from pyg_srgnn.serving.prometheus import Metrics
from tests.serving.shop import untrained

IDS = list(range(100, 130))


class Slow:
    """A scorer that waits to be let go, and remembers what it was asked."""

    def __init__(self, scorer):
        self.scorer = scorer
        self.num_items = scorer.num_items
        self.log_probabilities = scorer.log_probabilities
        self.directions = scorer.directions
        self.asked = []
        self.go, self.entered = threading.Event(), threading.Event()

    def best(self, sessions, wanted):
        self.asked.append([(len(each.rows), each.k, each.exclude_seen) for each in wanted])
        self.entered.set()
        assert self.go.wait(30)
        if any(session == [29] for session in sessions):
            raise RuntimeError("no memory")
        return self.scorer.best(sessions, wanted)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    return Recommender.load(untrained(tmp_path_factory.mktemp("model"), IDS))


@pytest.fixture
def slow(recommender):
    return Slow(recommender.scorer)


SETTINGS = {"size": 8, "wait": 0, "max_queue": 1024}


def run(recommender, slow, script, **settings):
    """Run a script with a batcher whose first batch, one session, is being scored."""
    behind = Recommender(slow, recommender.vocabulary, torch.ones(len(IDS)))

    async def main():
        batcher = Batcher(lambda: behind, Metrics(), **(SETTINGS | settings))
        first = asyncio.create_task(batcher.recommend([[100]], 1))
        try:
            await asyncio.to_thread(slow.entered.wait, 30)
            return await script(batcher)
        finally:
            slow.go.set()
            await first
            assert batcher.queued == 0
            batcher.close()

    return asyncio.run(main())


async def queued(batcher, *requests):
    tasks = [asyncio.create_task(batcher.recommend(*request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


def expected(recommender, session, k, exclude_seen=False):
    rules = (Rules(exclude_seen=exclude_seen),)
    (answer,) = recommender.answer([session], k, rules)
    return answer


def same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert [raw for raw, _ in one.items] == [raw for raw, _ in other.items]
        assert [s for _, s in one.items] == pytest.approx([s for _, s in other.items], abs=1e-5)
        assert (one.unknown, one.popular) == (other.unknown, other.popular)


def test_what_waits_is_one_batch_and_each_gets_its_own(recommender, slow):
    sessions = [[100, 101], [105], [107, 103, 107], [111]]

    async def script(batcher):
        tasks = await queued(batcher, *(([session], k) for k, session in enumerate(sessions, 2)))
        assert batcher.queued == 4
        slow.go.set()
        return await asyncio.gather(*tasks)

    found = run(recommender, slow, script)
    assert slow.asked == [[(1, 1, False)], [(1, k, False) for k in range(2, 6)]]  # each its own k
    for k, (answers, session) in enumerate(zip(found, sessions, strict=True), 2):
        same(answers, [expected(recommender, session, k)])


def test_a_batch_is_no_larger_than_it_may_be(recommender, slow):
    async def script(batcher):
        tasks = await queued(batcher, *(([[100 + i]], 2) for i in range(20)))
        slow.go.set()
        return await asyncio.gather(*tasks)

    found = run(recommender, slow, script)
    assert slow.asked == [[(size, 1 if size == 1 else 2, False)] for size in (1, 8, 8, 4)]
    for i, answers in enumerate(found):
        same(answers, [expected(recommender, [100 + i], 2)])


def test_requests_with_different_rules_are_one_batch(recommender, slow):
    asked = [False, True, False, True, True]

    async def script(batcher):
        rules = [(Rules(exclude_seen=seen),) for seen in asked]
        tasks = await queued(batcher, *(([[100, 101]], 3, each) for each in rules))
        slow.go.set()
        return await asyncio.gather(*tasks)

    found = run(recommender, slow, script)
    assert slow.asked[1:] == [[(2, 3, False), (3, 3, True)]]
    for seen, answers in zip(asked, found, strict=True):
        same(answers, [expected(recommender, [100, 101], 3, seen)])


def test_a_large_request_is_taken_in_parts(recommender, slow):
    many = [[100 + i] for i in range(20)]

    async def script(batcher):
        (large,) = await queued(batcher, (many, 2))
        small = await queued(batcher, ([[125]], 2), ([[126], [100]], 2))
        slow.go.set()
        first, _ = await asyncio.wait([large, *small], return_when=asyncio.FIRST_COMPLETED)
        assert large not in first  # who came later need not wait for all of it
        return await asyncio.gather(large, *small)

    large, one, two = run(recommender, slow, script)
    assert [sum(size for size, *_ in batch) for batch in slow.asked] == [1, 8, 3, 8, 4]
    same(large, [expected(recommender, session, 2) for session in many])
    same(one, [expected(recommender, [125], 2)])
    same(two, [expected(recommender, [126], 2), expected(recommender, [100], 2)])


def test_a_full_queue_refuses_and_goes_on(recommender, slow):
    async def script(batcher):
        tasks = await queued(batcher, *(([[100 + i]], 2) for i in range(5)))
        with pytest.raises(QueueFull):
            await batcher.recommend([[110]], 2)
        slow.go.set()
        await asyncio.gather(*tasks)
        return await batcher.recommend([[110]], 2)

    same(run(recommender, slow, script, max_queue=5), [expected(recommender, [110], 2)])


def test_a_session_for_which_there_was_room_is_answered(recommender, slow):
    async def script(batcher):
        batcher.need_room(1)
        tasks = await queued(batcher, *(([[100 + i]], 2) for i in range(5)))
        with pytest.raises(QueueFull):
            batcher.need_room(1)
        with pytest.raises(QueueFull):
            await batcher.recommend([[110]], 2)
        tasks += await queued(batcher, ([[110]], 2, (), True))
        slow.go.set()
        return (await asyncio.gather(*tasks))[-1]

    same(run(recommender, slow, script, max_queue=5), [expected(recommender, [110], 2)])


def test_lists_whose_items_are_chosen_one_by_one_come_in_smaller_parts(recommender, slow):
    many = [[100 + i] for i in range(5)]

    async def script(batcher):
        slow.go.set()
        plain = await batcher.recommend(many, 1_000)
        return plain, await batcher.recommend(many, 1_000, (Rules(diversify=0.1),))

    plain, diverse = run(recommender, slow, script)
    assert [sum(size for size, *_ in batch) for batch in slow.asked] == [1, 5, 2, 2, 1]
    assert [len(answer.items) for answer in diverse] == [len(answer.items) for answer in plain]


def test_a_request_larger_than_the_queue_is_answered_by_an_idle_service(recommender, slow):
    async def script(batcher):
        slow.go.set()
        return await batcher.recommend([[100 + i] for i in range(8)], 2)

    assert len(run(recommender, slow, script, max_queue=3)) == 8


def test_who_has_gone_takes_nothing_from_the_others(recommender, slow):
    async def script(batcher):
        gone, stays = await queued(batcher, ([[101]], 2), ([[102]], 2))
        gone.cancel()
        await asyncio.sleep(0)
        slow.go.set()
        return await stays

    same(run(recommender, slow, script), [expected(recommender, [102], 2)])


def test_who_asks_for_many_takes_nothing_from_the_others(recommender, slow):
    async def script(batcher):
        tasks = await queued(batcher, ([[101]], 5), ([[102]], 101), ([[103]], 6))
        slow.go.set()
        return [len(answer.items) for task in tasks for answer in await task]

    assert run(recommender, slow, script) == [5, len(IDS), 6]
    assert slow.asked[1:] == [[(1, 5, False), (1, len(IDS), False), (1, 6, False)]]


def test_an_error_is_told_to_its_request_and_no_other(recommender, slow):
    async def script(batcher):
        bad, beside = await queued(batcher, ([[129]], 2), ([[102]], 2))
        slow.go.set()
        with pytest.raises(RuntimeError, match="no memory"):
            await bad
        same(await beside, [expected(recommender, [102], 2)])
        assert len(slow.asked) == 4  # the first request, both, and each alone
        return await batcher.recommend([[102]], 2)

    same(run(recommender, slow, script), [expected(recommender, [102], 2)])


def test_unknown_items_and_the_most_popular(recommender, slow):
    async def script(batcher):
        slow.go.set()
        return await batcher.recommend([[5, 100, "100"], [7], []], 3)

    found = run(recommender, slow, script)
    assert [(answer.unknown, answer.popular) for answer in found] == [
        ([5, "100"], False),
        ([7], True),
        ([], True),
    ]
    assert found[0].items == expected(recommender, [100], 3).items


def test_the_first_may_wait_for_others(recommender, slow, monkeypatch):
    slow.go.set()
    behind = Recommender(slow, recommender.vocabulary, torch.ones(len(IDS)))
    sleep = asyncio.sleep

    async def main():
        waits, over = asyncio.Event(), asyncio.Event()

        async def wait(seconds):
            if seconds != 0.05:
                return await sleep(seconds)
            waits.set()
            await over.wait()

        monkeypatch.setattr(asyncio, "sleep", wait)
        batcher = Batcher(lambda: behind, Metrics(), 3, 0.05, 1024)
        tasks = await queued(batcher, ([[100]], 2))
        await waits.wait()
        tasks += await queued(batcher, *[([[101]], 2)] * 2)
        over.set()
        await asyncio.gather(*tasks)
        batcher.close()

    asyncio.run(main())
    assert slow.asked == [[(3, 2, False)]]
