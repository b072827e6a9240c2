"""Calls between two processes; here both ends are in one."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from pyg_srgnn.serving.channel import Channel


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__("odd")


async def double(number):
    await asyncio.sleep(0)
    return 2 * number


async def refuse(error):
    if error == "odd":
        raise Odd(1, 2)
    raise ValueError(error)


async def forever():
    await asyncio.Event().wait()


async def pair(functions):
    """Two channels, either of which may call the functions of the other."""
    channels = []
    for end in socket.socketpair():
        channel = Channel(functions)
        await channel.open(end)
        channels.append(channel)
    return channels


def test_many_calls_at_once_in_both_directions():
    async def calls():
        one, two = await pair({"double": double})
        asked = [(one, two)[i % 2].call("double", i) for i in range(100)]
        assert await asyncio.gather(*asked) == [2 * i for i in range(100)]
        large = os.urandom(1 << 22)  # more than a socket holds
        assert await one.call("double", large) == 2 * large
        await one.close()
        await two.close()

    asyncio.run(calls())


def test_an_exception_is_raised_where_the_call_was_made():
    async def calls():
        one, two = await pair({"refuse": refuse})
        with pytest.raises(ValueError, match=r"^so it is$"):
            await one.call("refuse", "so it is")
        with pytest.raises(RuntimeError, match=r"^Odd: odd$"):  # which cannot be made again
            await one.call("refuse", "odd")
        with pytest.raises(KeyError):
            await two.call("there is none")
        await one.close()
        await two.close()

    asyncio.run(calls())


def test_calls_end_with_the_other_process():
    async def calls():
        one, two = await pair({"forever": forever})
        waiting = asyncio.create_task(one.call("forever"))
        await asyncio.sleep(0)
        await two.close()
        with pytest.raises(ConnectionError):
            await waiting
        await asyncio.wait_for(one.closed.wait(), 10)
        with pytest.raises(ConnectionError):
            await one.call("forever")
        await one.close()

    asyncio.run(calls())
