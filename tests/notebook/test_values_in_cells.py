"""Values in and out of cells, in a real kernel, with real programs."""

import pytest

from tests.notebook.kernels import Kernel

HBB = (
    "MVHLTPEEKSAVTALWGKVNVDEVGGEALGRLLVVYPWTQRFFESFGDLSTPDAVMGNPKVKAHGKKVLGAFSDG"
    "LAHLDNLKGTFATLSELHCDKLHVDPENFRLLGNVLVCVLAHHFGKEFTPPVQAAYQKVVAGVANALAHKYH"
)


def test_streams_become_variables(kernel: Kernel) -> None:
    """--out and --err empty the display, --tee shows as well."""
    outputs = kernel.run("%%container {tiny} --out o --err e:lines\necho out; echo err >&2")
    assert outputs.of("stream") == []
    assert kernel.value("o, e") == "('out\\n', ['err'])"
    outputs = kernel.run("%%container {tiny} --out o --tee\necho shown")
    assert outputs.text() == "shown\n"
    assert kernel.value("o") == "'shown\\n'"


@pytest.mark.parametrize(
    ("format_name", "body", "expression", "expected"),
    [
        ("text", "echo hi", "v", "'hi\\n'"),
        ("bytes", "printf '\\377'", "v", "b'\\xff'"),
        ("lines", "echo a; echo b", "v", "['a', 'b']"),
        ("json", "echo '{\"a\": [1]}'", "v", "{'a': [1]}"),
        ("csv", "echo a,b; echo 1,x", "v.to_dict('list')", "{'a': [1], 'b': ['x']}"),
        ("tsv", "printf 'a\\tb\\n1\\tx\\n'", "v.to_dict('list')", "{'a': [1], 'b': ['x']}"),
        ("fasta", "printf '>s one\\nAC\\nGT\\n'", "v.iloc[0].tolist()", "['s', 'one', 'ACGT']"),
        ("path", "echo kept", "v.name, v.read_text(), v.is_absolute()", "('v.out', 'kept\\n', True)"),
    ],
)
def test_formats_out(kernel: Kernel, format_name: str, body: str, expression: str, expected: str) -> None:
    """Each format of --out, from a real program's output."""
    assert not kernel.run(f"%%container {{tiny}} --out v:{format_name}\n{body}").error
    assert kernel.value(expression) == expected


def test_values_become_files_whose_paths_are_variables(kernel: Kernel) -> None:
    """str, bytes, path, records, a DataFrame and an expression; the container cannot change them."""
    kernel.run("""import pandas as pd, pathlib
text, data = "hello\\n", b"\\x00\\x01"
file = pathlib.Path("given.txt"); file.write_text("given\\n")
table = pd.DataFrame({"gene": ["b", "a"], "n": [2, 1]})
proteins = [{"id": "p1", "sequence": "MKV"}]""")
    outputs = kernel.run("""%%container {tiny} -i text -i data -i file -i table -i proteins -i 'n=len(table) + 1'
cat $text; od -An -tx1 $data; cat $file; awk 'NR > 1 {s += $2} END {print s}' $table; cat $proteins; cat $n; echo
(echo x >> $text) 2> /dev/null || echo refused""")

    assert outputs.text() == "hello\n 00 01\ngiven\n3\n>p1\nMKV\n3\nrefused\n"


def test_files_come_back(kernel: Kernel) -> None:
    """-o brings a file back by its suffix or in a format; as a path it is the file itself."""
    outputs = kernel.run("""%%container {tiny} -o made.json=j -o sub/made.tsv=t -o /tmp/away.txt=a -o made.json=p:path
echo '[1]' > made.json; mkdir -p sub; printf 'x\\n1\\n' > sub/made.tsv; echo far > /tmp/away.txt""")

    assert not outputs.error
    assert kernel.value("j, t.x.tolist(), a, p.name, p.is_file()") == "([1], [1], 'far\\n', 'made.json', True)"


def test_a_file_that_is_not_there_is_one_clear_error(kernel: Kernel) -> None:
    """The cell went well but did not write what it should."""
    assert "the cell left no file nothing.txt" in kernel.run("%%container {tiny} -o nothing.txt=n\ntrue").error


def test_bad_data_is_one_error_and_the_text_is_kept(kernel: Kernel) -> None:
    """What was printed is in the variable, so nothing has to be run again."""
    outputs = kernel.run("%%container {tiny} --out hits:blast6\necho no table")

    begin = "BadRequest: --out hits:blast6: no blast6 in line 1: 1 columns where 12 were expected: "
    assert outputs.error.startswith(begin)
    assert kernel.value("hits") == "'no table\\n'"


def test_blast_hits_are_a_frame(kernel: Kernel) -> None:
    """A protein from Python against itself: names, numbers, the list from the cell, comments, no hits."""
    kernel.run(f"query = '>q\\n{HBB}\\n'; nothing = '>n\\n' + 'W' * 30")
    search = "blastp -query ${} -subject $query"
    kernel.run("%%container {blast} -i query --out a:blast6\n" + search.format("query") + " -outfmt 6")
    kernel.run("%%container {blast} -i query --out b:blast6\n" + search.format("query") + " -outfmt '7 qseqid qcovs staxid'")
    kernel.run("%%container {blast} -i query -i nothing --out c:blast6\n" + search.format("nothing") + " -outfmt 7")
    kernel.run("%%container {blast} -i query --out d:blast6\nformat=7\n" + search.format("query") + ' -outfmt "$format"')

    assert kernel.value("a.pident.tolist(), a.length.tolist(), str(a.evalue.dtype)") == "([100.0], [147], 'float64')"
    assert kernel.value("b.columns.tolist(), b.qcovs.tolist(), b.staxid.isna().tolist()") == (
        "(['qseqid', 'qcovs', 'staxid'], [100], [True])"
    )
    assert kernel.value("len(c), c.columns.tolist() == a.columns.tolist(), str(c.length.dtype)") == "(0, True, 'int64')"
    assert kernel.value("d.equals(a)") == "True"
