"""Exposition bodies for the tests of `kvass count`: rows of the reference tables, and generated and mutated ones."""
import random

TEXT_ROWS = [
    b"a 1", b"a 1\n", b"\n", b"\n\n \t\n", b"# x\n#y\n", b"", b'a{x="1",} 1\n', b"a{} 1\n", b'a {x="1"} 1\n', b'a{x="1"}1\n',
    b'a\t{\tx\t=\t"1"\t}\t1\t5\t\n', b'a{x="1" y="2"} 1\n', b'a{,x="1"} 1\n', b'a{x="1",,y="2"} 1\n', b"   a 1\n", b"a 1\r\n",
    b"a 1\nb 1\r\n", b"\xef\xbb\xbfa 1\n",
    b"a NaN\nb nan\nc +Inf\nd -Inf\ne Inf\nf inf\ng infinity\nh +1\ni .5\nj 5.\nk 1e3\nl 1E3\nm iNfInItY\nn -infinity\n",
    b"a 0x1p-2\n", b"a 0x10\n", b"a 1_000\n", b"a 1e400\n", b"a x\n", b"a \n", b"a\n", b"a 1 1.5\n", b"a 1 -5\n", b"a 1 5x\n",
    b"a 1 5 6\n", b"a 1 9223372036854775808\n", b"a 1 9223372036854775807\n", b"a 1 0\n", b"a 1 4102444800000\n",
    b'a{x="\\\\ \\" \\n"} 1\n', b'a{x="\\t\\x"} 1\n', b'a{x="1\n2"} 1\n', b'a{x="1\x002"} 1\n', b'a{x="\xff"} 1\n',
    b"# HELP a \xff\n", b"# x \xff\na 1\n", b'a{x="1} 1\n', b'a{x:y="1"} 1\n', b'a{1x="1"} 1\n', b"1a 1\n", b"a-b 1\n",
    b"b 1\na-b 1\n", b'{"a.b"} 1\n', b'a{"x.y"="1"} 1\n', b'{a="1"} 1\n', b'a{__foo="1"} 1\n', b'a{__name__="b"} 1\n',
    b'a{__name__=""} 1\n', b'a{x="1",x="2"} 1\n', b'a{x="1",x=""} 1\n', b'a{job="1",job="2"} 1\n', b"# TYPE a foo\n",
    b"# TYPE a unknown\n", b"# TYPE a info\n", b"# TYPE a\n", b"# TYPE a  counter\n", b"# TYPE a counter \n",
    b"# TYPE a counter\n# TYPE b gauge\n# TYPE c histogram\n# TYPE d summary\n# TYPE e untyped\na 1\n",
    b"# TYPE\n#TYPE a foo\n# type a foo\n# HELPx a\na 1\n", b"# TYPE  \n", b"# TYPE a-counter\n", b"#\tTYPE\ta\tcounter\na 1\n",
    b"  \t# TYPE a counter\n  # x\na 1 \t \nb 1 5 \t\n", b"a 1e-400\n", b"a " + b"1" * 30 + b"\n", b"a +nan\n", b"a\x0c1\n",
    b"a 1\n#x\x00y\nb 1\n", b"a 1\n# x\x00y\nb 1\n", b"a 1\n# \x00y\nb 1\n", b"a 1\n\x00\nb 1\n", b"a 1\n  \x00 x\n",
    b"# TYPE a counter\n# TYPE a gauge\na 1\n# TYPE a gauge\n", b"# EOF\na 1\n", b'a 1 # {x="1"} 1\n', b"a 1\na 1\n", b"a 1\na 2\n",
    b"a 1 1\na 1 2\n", b'# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n', b"# HELP a\n", b"# HELP a \n", b"# HELP a  \n",
    b"# HELP a\xffb\n", b"# HELP a\xc3\xa9b\n", b"# HELP a\x00b\n", b"# HELP a b\x00c\n", b"# H\x00ELP\x00 \x00a b\n",
    b"# TYPE a coun\x00ter\n", b'a{x="1"\x00} 1\n', b'a{x="1"\x00\x00,y="2"} 1\n', b'a{x= \x00"1"} 1\n', b'a{x=\x00"1"} 1\n',
    b'a{x="\\\x00n"} 1\n', b'a{x="\\\n"} 1\n', b'a{x="\\\x00"} 1\n', b'a\x00{x="1"} 1\n', b"a 1\x00\n", b"a 1 5\x00\n", b"a+1\n",
    b"a.5\n", b"a-1\n", b'a"x" 1\n', b"a{}{} 1\n", b"a 1{\n", b"a 1 2{\n", b"a{x}\n", b"a{x=}\n", b'a{x="1"', b'a{x="1"}', b"a{x",
    b'a{x="', b"a{", b"a", b"#", b"# ", b"# HELP", b"# TYPE a counter", b"# HELP a", b"a 1e\n", b"a 1e+\n", b"a 1e5x\n", b"a .\n",
    b"a +\n", b"a -.e1\n", b"a 1.2.3\n", b"a 1e99999\n", b"a 0e99999\n", b"a 1e-99999\n", b"a 0." + b"0" * 400 + b"1e600\n",
    b"a 1" + b"0" * 308 + b"\n", b"a 1" + b"0" * 309 + b"\n", b"a 1.7976931348623157e308\n", b"a 1.7976931348623158e308\n",
    b"a 1.7976931348623159e308\n", b"a 179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977"
    b"58720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447573027006985557136"
    b"6959622842914819860834936475292719074168444365510704342711559699508093042880177904174497791\n", b"a 00000000001 0000000000001\n",
    b'a{x="1"}\t\t1\n', b'a{x="\xed\xa0\x80"} 1\n', b'a{x="\xc0\x80"} 1\n', b'a{x="\xf4\x90\x80\x80"} 1\n',
    b'a{x="\xf4\x8f\xbf\xbf"} 1\n', b'a{exported_job="1",job="2"} 1\n', b'a{instance="",job=""} 1\n', b":a:b 1\n", b"a{:x=\"1\"} 1\n",
]

OPENMETRICS_ROWS = [
    b"", b"a 1\n", b"# EOF", b"# EOF\n", b"# EOF\n\n", b"# EOF\na 1\n", b"a 1\n# EOF", b"a 1\n# EOF\n", b"# EOFx\n", b"# EOF \n",
    b"# foo\n# EOF\n", b"\n# EOF\n", b"a 1\r\n# EOF\n", b"a\t1\n# EOF\n", b"a  1\n# EOF\n", b"a 1 \n# EOF\n", b"a 1  2\n# EOF\n",
    b'a{x="1", y="2"} 1\n# EOF\n', b'a{x="1",} 1\n# EOF\n', b'a{,x="1"} 1\n# EOF\n', b"a{} 1\n# EOF\n", b'a {x="1"} 1\n# EOF\n',
    b'a{x="1"}1\n# EOF\n',
    b"# TYPE a counter\n# TYPE b gauge\n# TYPE c histogram\n# TYPE d gaugehistogram\n# TYPE e summary\n# TYPE f info\n"
    b"# TYPE g stateset\n# TYPE h unknown\n# EOF\n", b"# TYPE a untyped\n# EOF\n", b"# TYPE a\n# EOF\n", b"# TYPE a \n# EOF\n",
    b"# HELP a\n# EOF\n", b"# HELP a \n# EOF\n", b"# HELP a x\n# EOF\n", b"# HELP a \xff\n# EOF\n", b"# HELP a-b\n# EOF\n",
    b"a 1 1.5\n# EOF\n", b"a 1 1e3\n# EOF\n", b"a 1 NaN\n# EOF\n", b"a 1 +Inf\n# EOF\n", b"a 1 -5\n# EOF\n", b"a 1 x\n# EOF\n",
    b'a_total 1 # {x="1"} 1\n# EOF\n', b'a_bucket{le="1"} 1 5 # {x="1"} 1 5\n# EOF\n', b'a 1 # {x="1"} 1\n# EOF\n',
    b'a_total 1 # {x="1"}\n# EOF\n', b"a_total 1 # {} 1\n# EOF\n", b"a_total 1 # 1\n# EOF\n", b"a_total 1 # {x} 1\n# EOF\n",
    b'a_total 1 # {x="1",} 1\n# EOF\n', b'a_total 1 # {x="1"} 1 NaN\n# EOF\n', b'a_total 1 # {x="1"} 1 1 1\n# EOF\n',
    b'a_total 1 # {x="1"} x\n# EOF\n', b'a_total 1 # {x="1"} 1 \n# EOF\n', b'a_total 1 #  {x="1"} 1\n# EOF\n',
    b'a_total 1 #{x="1"} 1\n# EOF\n', b'a_total 1 # {x="1\x00"} 1\n# EOF\n', b"# UNIT a_seconds seconds\n# EOF\n",
    b"# UNIT a seconds\n# EOF\n", b"# UNIT a \n# EOF\n", b"# UNIT seconds seconds\n# EOF\n", b"# UNIT a\n# EOF\n",
    b"# TYPE a counter\na 1\na 1\nb 1\n# EOF\n", b"a_created 1\n# EOF\n", b'a{x="# {"} 1\n# EOF\n', b'a{x="1\n2"} 1\n# EOF\n',
    b'a{x="\\n\\q"} 1\n# EOF\n', b'a{x="\xff"} 1\n# EOF\n', b'a{x="1\x00"} 1\n# EOF\n', b'a{x="1"\x00} 1\n# EOF\n',
    b"a 1\x00\n# EOF\n", b"\x00# EOF\n", b"# EOF\x00", b"# EOF\x00\n", b"# E\x00OF\n", b"a 1", b"a 1 2", b"a ", b"a", b"a{", b'a{x="1"}',
    b'a{x="1"} 1 ', b"# HELP a x", b"# TYPE a counter", b"# ", b"#", b"#EOF\n", b'{"a.b"} 1\n# EOF\n', b'a{"x.y"="1"} 1\n# EOF\n',
    b'a{x="1",x="2"} 1\n# EOF\n', b'a{__name__="x"} 1\n# EOF\n', b"a 0x10\n# EOF\n", b"a 1e400\n# EOF\n", b"a 1_0\n# EOF\n",
    b"a 1{\n# EOF\n", b" a 1\n# EOF\n", b"1a 1\n# EOF\n", b"a 1 1 1\n# EOF\n", b"a 1 1e400\n# EOF\n",
    b"# HELP  a x\n# EOF\n", b"#  HELP a x\n# EOF\n", b"# HELP a\x00 x\n# EOF\n", b"# HELP a \x00x\n# EOF\n", b"# \x00HELP a x\n# EOF\n",
]

NAMES = ["a", "b_total", "go_gc_duration_seconds", "http_requests_total", ":r:x", "_u", "node_cpu_seconds_total", "h_bucket"]
LABELS = ["x", "y", "le", "job", "instance", "code", "method", "__name__", "__x", "exported_job", "a_rather_long_label_name_of_its_own"]
VALUES = ["1", "0", "1e3", "NaN", "+Inf", "1.5", "-7.25e-3", "123456789012345", ".5", "5.", "1e400", "1E+10", "0x1", "nan"]
TEXTS = ["", "v", "GET", "200", "/api/v1/query?x=1&y=2", "a\\\\b", "q\\\"q", "n\\n", "\u00e9t\u00e9", "\U0001f600", "{}", "=,", "# x", " ",
         "a long value with many characters in it, longer than any vector register can hold at one time"]
BYTES = [b'"', b"\\", b"\n", b"{", b"}", b"=", b",", b" ", b"\t", b"#", b"\x00", b"\r", b"0", b"9", b".", b"e", b"+", b"-", b"_", b":",
         b"a", b"Z", b"\xc3", b"\xa9", b"\xff", b"# TYPE ", b"# HELP ", b"# EOF", b"\n\n", b'x="1"', b",,", b"NaN", b"1e400", b" # {"]


def text_line(rng):
    kind = rng.random()
    name = rng.choice(NAMES)
    if kind < 0.08:
        return "# HELP %s %s" % (name, rng.choice(TEXTS))
    if kind < 0.16:
        return "# TYPE %s %s" % (name, rng.choice(["counter", "gauge", "histogram", "summary", "untyped"]))
    if kind < 0.19:
        return rng.choice(["", "#", "# c", "#x", "  ", "\t# y"])
    count = rng.choice([0, 0, 1, 1, 2, 3, 5, 9, 20])
    names = rng.sample(LABELS[:7] + LABELS[9:], min(count, 9))
    if rng.random() < 0.03:
        names.append(rng.choice(LABELS))
    if count == 20:
        names += ["l%d" % i for i in range(11)]
    pairs = ['%s="%s"' % (n, rng.choice(TEXTS)) for n in names]
    line = name + ("{" + ",".join(pairs) + "}" if pairs or rng.random() < 0.1 else "")
    line += " " + rng.choice(VALUES[:10] if rng.random() < 0.97 else VALUES)
    if rng.random() < 0.05:
        line += " %d" % rng.randrange(1, 10**12)
    return line


def openmetrics_line(rng):
    line = text_line(rng)
    while line.strip() == "" or (line.lstrip().startswith("#") and not line.startswith(("# HELP", "# TYPE"))):
        line = text_line(rng)
    if line.endswith("untyped"):
        line = line[:-7] + "unknown"
    if rng.random() < 0.1 and not line.startswith("#"):
        line += ' # {trace="%s"} 1%s' % (rng.choice(TEXTS[:5]), rng.choice(["", " 5", " 1.5"]))
    return line


def mutate(rng, body):
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(body) + 1)
        kind = rng.random()
        if kind < 0.5:
            body = body[:at] + rng.choice(BYTES) + body[at:]
        elif kind < 0.75:
            body = body[:at] + body[at + rng.choice([1, 1, 2, 5]):]
        elif kind < 0.95:
            body = body[:at] + rng.choice(BYTES) + body[at + 1:]
        else:
            body = body[:at]
    return body


def generate(seed, count, openmetrics=False):
    """`count` bodies, about half of them broken somewhere."""
    rng = random.Random(seed)
    bodies = []
    for _ in range(count):
        make = openmetrics_line if openmetrics else text_line
        body = "".join(make(rng) + "\n" for _ in range(rng.choice([1, 2, 3, 5, 12, 40]))).encode()
        if openmetrics:
            body += b"# EOF\n"
        bodies.append(mutate(rng, body) if rng.random() < 0.6 else body)
    return bodies
