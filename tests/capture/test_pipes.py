"""One thread reads the pipes of all cameras."""

from __future__ import annotations

import os
import threading

import pytest

from service.capture.pipes import PipeReader
from tests.support.servers import wait_for


def test_one_thread_reads_all_pipes_and_a_failing_reader_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, heard, threads = PipeReader(), [], set()
    pipes = [os.pipe() for _ in range(8)]

    def listen(number: int) -> None:
        threads.add(threading.get_ident())
        if number == 3:
            raise ValueError("broken")
        heard.append((number, os.read(pipes[number][0], 10)))

    for number, (reading, _) in enumerate(pipes):
        reader.add(reading, lambda number=number: listen(number))
    for turn in (b"one", b"two"):
        for _, writing in pipes:
            os.write(writing, turn)
        wait_for(lambda turn=turn: sum(data == turn for _, data in heard) == 7, "the others")
    assert len(threads) == 1
    assert 3 not in {number for number, _ in heard}
    assert "it is read no more" in capsys.readouterr().out
    for reading, writing in pipes:
        reader.remove(reading)
        os.close(reading)
        os.close(writing)


def test_a_removed_pipe_is_not_read_and_removing_waits_for_its_reader() -> None:
    reader, entered, leave = PipeReader(), threading.Event(), threading.Event()
    reading, writing = os.pipe()
    done: list[str] = []

    def slow() -> None:
        entered.set()
        leave.wait(10)
        os.read(reading, 10)
        done.append("read")

    reader.add(reading, slow)
    os.write(writing, b"x")
    assert entered.wait(10)

    def remove() -> None:
        reader.remove(reading)
        done.append("removed")

    remover = threading.Thread(target=remove)
    remover.start()
    remover.join(0.1)
    assert done == []
    leave.set()
    remover.join(10)
    assert done == ["read", "removed"]
    os.write(writing, b"y")
    reader.remove(reading)  # once more is no error
    os.close(writing)
    assert os.read(reading, 10) == b"y"
    os.close(reading)
