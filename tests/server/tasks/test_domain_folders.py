"""The folders of a data set: their order, what is a domain, and what tells data apart."""

from __future__ import annotations

from pathlib import Path

from diffserver.tasks.domain_folders import find_domains, fingerprint


def write(folder: Path, **splits: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in splits.items():
        (folder / f"{name}.jsonl").write_text(content)


def test_ten_comes_after_nine_and_folders_without_a_number_last(tmp_path: Path) -> None:
    for name in ("10-composers", "9-countries", "extra", "0-base", "2-b", "2-a", "also"):
        write(tmp_path / name, train="", test="")
    expected = ["0-base", "2-a", "2-b", "9-countries", "10-composers", "also", "extra"]
    assert [folder.name for folder in find_domains(tmp_path)] == expected


def test_a_domain_has_all_splits_that_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "1-train", train="")
    write(tmp_path / "2-test", test="")
    write(tmp_path / "3-both", train="", test="")
    (tmp_path / "4-empty").mkdir()
    names = {splits: [folder.name for folder in find_domains(tmp_path, splits)] for splits in [("train",), ("test",)]}
    assert names == {("train",): ["1-train", "3-both"], ("test",): ["2-test", "3-both"]}
    assert [folder.name for folder in find_domains(tmp_path)] == ["3-both"]
    assert find_domains(tmp_path / "nowhere") == []


def test_a_fingerprint_is_of_the_manifests_of_these_domains_alone(tmp_path: Path) -> None:
    write(tmp_path / "a", train="one\n", test="two\n")
    write(tmp_path / "b", train="three\n", test="four\n")
    before = fingerprint(tmp_path, ["a", "b"])
    write(tmp_path / "c", train="five\n", test="six\n")
    (tmp_path / "a" / "1.wav").write_bytes(b"audio")
    assert fingerprint(tmp_path, ["a", "b"]) == before
    write(tmp_path / "copy" / "a", train="one\n", test="two\n")
    assert fingerprint(tmp_path / "copy", ["a"]) == fingerprint(tmp_path, ["a"]), "where it lies is not part of it"


def test_a_fingerprint_changes_with_any_byte_name_or_order(tmp_path: Path) -> None:
    write(tmp_path / "a", train="one\n", test="two\n")
    write(tmp_path / "b", train="", test="")
    write(tmp_path / "missing", test="")
    seen = {
        fingerprint(tmp_path, domains)
        for domains in (["a", "b"], ["b", "a"], ["a"], ["b"], ["a", "b", "b"], ["missing"], ["nowhere"], [])
    }
    assert len(seen) == 8
    for train, test in [("one\n", "two"), ("one\ntwo\n", ""), ("", "one\ntwo\n"), ("One\n", "two\n")]:
        write(tmp_path / "a", train=train, test=test)
        seen.add(fingerprint(tmp_path, ["a"]))
    assert len(seen) == 12
