"""lay_out() against plain loops."""

from __future__ import annotations

import torch

from pyg_srgnn.llm.prompts import lay_out

TEXTS = torch.tensor([[5, 6, 7], [8, -1, -1], [-1, -1, -1], [9, 4, -1]])


def reference(sessions, instruction):
    """Rows of tokens, and where the vectors stand, session by session."""
    rows, places = [], []
    for session in sessions:
        row = list(instruction)
        for item in session:
            row += [token for token in TEXTS[item].tolist() if token >= 0]
            places.append(len(row))
            row.append(0)
        rows.append(row)
    longest = max(map(len, rows))
    return [row + [0] * (longest - len(row)) for row in rows], places


def check(sessions, instruction, texts=TEXTS):
    lengths = torch.tensor([len(session) for session in sessions])
    items = torch.tensor([item for session in sessions for item in session])
    found = lay_out(items, lengths, texts, torch.tensor(instruction, dtype=torch.long))
    tokens, places = reference(sessions, instruction)
    assert found.tokens.tolist() == tokens
    assert found.place.tolist() == places
    assert found.row.tolist() == [row for row, session in enumerate(sessions) for _ in session]


def test_sessions_of_all_lengths():
    check([[0], [2, 2, 1], [3, 0, 3, 0], [1]], [1, 2])


def test_one_session():
    check([[2]], [3])


def test_without_an_instruction():
    check([[1, 0], [2]], [])


def test_without_texts_vectors_stand_alone():
    texts = torch.empty(4, 0, dtype=torch.long)
    found = lay_out(torch.tensor([0, 3, 1]), torch.tensor([2, 1]), texts, torch.tensor([7]))
    assert found.tokens.tolist() == [[7, 0, 0], [7, 0, 0]]
    assert found.place.tolist() == [1, 2, 1]
