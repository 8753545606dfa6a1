from __future__ import annotations

from pathlib import Path

import pytest

from hfi_cli.documents import Located, parse, read
from hfi_cli.errors import UsageError

TWO = """\
# A comment above.
metadata:
  name: one
spec:
  rules:
    - name: a
      match:
        path: {prefix: /a}
---
---
metadata: {name: two}
spec:
  rules:
    - name: a
      fault:
        abort:
          httpStatus: 99
"""


def test_each_document_knows_its_file_number_and_name() -> None:
    one, two = parse("f.yaml", TWO)
    assert (one.number, two.number) == (1, 2)
    assert str(one) == "f.yaml, document 1 (one)"
    assert two.document["spec"]["rules"][0]["fault"]["abort"]["httpStatus"] == 99


def test_a_single_document_has_no_number() -> None:
    (only,) = parse("f.yaml", "metadata: {name: one}")
    assert str(only) == "f.yaml (one)"


@pytest.mark.parametrize(
    ("document", "pointer", "line"),
    [
        (1, "/spec/rules/0/fault/abort/httpStatus", 17),
        (1, "/spec/rules/0/name", 14),
        (1, "/spec/rules/0/match/path", 14),
        (1, "/spec/rules/7/name", 13),
        (1, "/metadata/name", 11),
        (1, "/kind", 11),
        (0, "/spec/rules/0/match/path/prefix", 8),
        (0, "", 2),
        (0, "/spec/rules/0/match/path/prefix/deeper", 8),
    ],
)
def test_a_pointer_has_a_line_and_what_is_missing_that_of_its_parent(document: int, pointer: str, line: int) -> None:
    assert parse("f.yaml", TWO)[document].place(pointer) == f"f.yaml:{line}"


def test_escaped_pointers() -> None:
    (only,) = parse("f.yaml", "x: 1\nmetadata:\n  labels:\n    a/b~c: 1\n")
    assert only.place("/metadata/labels/a~1b~0c") == "f.yaml:4"


def test_json_with_tabs_is_read_though_its_lines_are_not_known() -> None:
    (only,) = parse("f.json", '{\n\t"metadata": {"name": "one"}\n}')
    assert only.name == "one"
    assert only.place("/metadata") == "f.json"


def test_json_has_lines_too() -> None:
    (only,) = parse("f.json", '{\n  "metadata": {\n    "name": "one"\n  }\n}')
    assert only.place("/metadata/name") == "f.json:3"


def test_a_list_holds_a_document_in_each_element() -> None:
    one, two = parse("-", '[{"metadata": {"name": "one"}},\n {"metadata": {"name": "two"}}]')
    assert (one.name, two.name, two.place("/metadata/name")) == ("one", "two", "-:2")


def test_flow_yaml_that_is_no_json() -> None:
    assert parse("-", "{metadata: {name: one}}")[0].name == "one"


@pytest.mark.parametrize("document", [None, 7, [], {"metadata": 3}, {"metadata": {"name": 3}}])
def test_what_has_no_name_has_none(document: object) -> None:
    assert Located(document, "f").name is None
    assert Located(document, "f").place("/x") == "f"


def test_what_has_no_name_is_the_servers_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "nameless.yaml").write_text("kind: x\n---\nkind: y\n")
    assert [located.name for located in read([str(tmp_path)])] == [None, None]


def test_broken_yaml_is_told_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"f\.yaml:3:1: not valid YAML"):
        parse("f.yaml", "a: 1\nb: [\n")


def test_broken_json_is_told_as_json_where_the_file_says_so() -> None:
    with pytest.raises(UsageError, match=r"f\.json:2:\d+: not valid JSON"):
        parse("f.json", '{"a": 1,\n"b" 2}')


def test_text_without_a_place() -> None:
    with pytest.raises(UsageError, match=r"^f\.yaml: not valid YAML"):
        parse("f.yaml", "a: \x00")


def test_files_and_directories_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("metadata: {name: b}")
    (tmp_path / "a.yaml").write_text("metadata: {name: a1}\n---\nmetadata: {name: a2}\n")
    (tmp_path / "c.json").write_text('{"metadata": {"name": "c"}}')
    (tmp_path / "README.md").write_text("not: [a policy")
    (tmp_path / "d.yaml").mkdir()
    assert [located.name for located in read([str(tmp_path)])] == ["a1", "a2", "b", "c"]
    assert [located.name for located in read([str(tmp_path / "c.json"), str(tmp_path / "b.yml")])] == ["c", "b"]


def test_what_cannot_be_read_is_usage(tmp_path: Path) -> None:
    (tmp_path / "latin1.yaml").write_bytes(b"a: \xe9")
    (tmp_path / "empty.yaml").write_text("# nothing\n---\n")
    (tmp_path / "twice.yaml").write_text("metadata: {name: a}\n---\nmetadata: {name: a}\n")
    (tmp_path / "none").mkdir()
    for name, why in [
        ("missing.yaml", "No such file"),
        ("latin1.yaml", "not UTF-8"),
        ("empty.yaml", "no policy"),
        ("twice.yaml", "two documents name the policy a: .*document 1.*document 2"),
        ("none", "holds no file"),
    ]:
        with pytest.raises(UsageError, match=why):
            read([str(tmp_path / name)])
