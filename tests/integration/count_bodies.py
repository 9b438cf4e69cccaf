"""Exposition bodies for the tests of `kvass count`: rows of the reference tables, and generated and mutated ones."""
import random
import struct


def varint(n):
    out = b""
    n &= (1 << 64) - 1
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def zigzag(n):
    return (n << 1) ^ (n >> 63)


def field(number, value):
    """int: varint, float: fixed64, str or bytes: length-delimited."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def label(name, value):
    return field(1, field(1, name) + field(2, value))


def family(name, kind, *metrics, help="h"):
    message = field(1, name) + field(2, help) + field(3, kind) + b"".join(field(4, m) for m in metrics)
    return varint(len(message)) + message


COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)


def bucket(bound, count):
    return field(3, field(1, count) + field(2, bound))


def histogram(*buckets, count=3, total=1.5, more=b""):
    return field(7, field(1, count) + field(2, total) + b"".join(bucket(b, i) for i, b in enumerate(buckets)) + more)


def native(spans=((0, 2),), deltas=(1, 1), count=3, total=1.5):
    more = b"".join(field(12, field(1, zigzag(o)) + field(2, n)) for o, n in spans)
    more += field(13, b"".join(varint(zigzag(d)) for d in deltas))
    return histogram(count=count, total=total, more=field(5, zigzag(3)) + more)


INF = float("inf")
SOME_COUNTER = family("c_total", COUNTER, label("x", "1") + field(3, field(1, 5.0)), label("x", "2") + field(3, field(1, 6.0)))
PROTOBUF_ROWS = [
    b"", SOME_COUNTER, SOME_COUNTER * 2, SOME_COUNTER[:-1], b"\x00", b"\x80", b"\x80\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\x0f",
    SOME_COUNTER + b"\x05abc", family("g", GAUGE, field(2, field(1, 1.0))), family("g", GAUGE, field(2, b"")), family("g", GAUGE, b""),
    family("u", UNTYPED, field(5, field(1, 1.0)) + field(6, 0)), family("g", GAUGE, field(3, field(1, 1.0))), family("g", GAUGE),
    family("g-x", GAUGE), family("g-x", GAUGE, b""), SOME_COUNTER + family("", GAUGE, b""), family("g", 6, b""),
    SOME_COUNTER + family("g", 77, b""), family("g", GAUGE, b"", help=b"\xff"), family("g", GAUGE, b"", help=b""),
    family("s", SUMMARY, field(4, field(1, 3) + field(2, 1.0))),
    family("s", SUMMARY, field(4, field(1, 3) + field(3, field(1, 0.5) + field(2, 1.0)) + field(3, field(1, 0.9)))),
    family("h", HISTOGRAM, histogram()), family("h", HISTOGRAM, histogram(0.1, 1.0)), family("h", HISTOGRAM, histogram(0.1, 1.0, INF)),
    family("h", HISTOGRAM, histogram(0.1, INF, 1.0)), family("h", HISTOGRAM, histogram(1e6, 1e-7, 123456.0, 1234567.0)),
    family("h", GAUGE_HISTOGRAM, histogram(0.1, 1.0)), family("h", HISTOGRAM, native()), family("h", HISTOGRAM, b"", native()),
    family("h", HISTOGRAM, native(), histogram(1.0)), family("h", HISTOGRAM, native(spans=((0, 3),))),
    family("h", HISTOGRAM, native(deltas=(1, -2))), family("h", HISTOGRAM, native(count=2)),
    family("h", HISTOGRAM, native(spans=((0, 1), (-1, 1)))), family("h", HISTOGRAM, native(), native(), native()),
    family("c", COUNTER, label("x", "1") + field(3, field(1, 5.0) + field(2, label("t", "1") + field(2, 1.0) + field(3, field(1, 5))))),
    family("c", COUNTER, label("x", "1") + label("x", "2")), family("c", COUNTER, label("1x", "1")),
    SOME_COUNTER + family("c", COUNTER, label("a", "1"), label("1x", "1"), label("b", "1")), family("c", COUNTER, label("x", b"\xff")),
    family("c", COUNTER, label("__name__", "x")), family("c", COUNTER, label("x", "")), family("c", COUNTER, field(1, field(2, "1"))),
    family("c", COUNTER, field(9, "x") + field(20, 5) + field(21, 1.5)), family("c", COUNTER, field(1, 5)), family("c", COUNTER, field(6, "x")),
    family("c", COUNTER, field(3, field(1, 5))), family("c", COUNTER, b"\x1b\x08\x01\x1c"), family("c", COUNTER, b"\x7b\x08\x01\x7c"),
    family("c", COUNTER, b"\x07"), family("c", COUNTER, b"\x00"), family("c", COUNTER, b"\x1c"), family("c", COUNTER, field(6, -5)),
    varint(len(field(1, "c") + field(4, b"") * 3 + field(3, GAUGE))) + field(1, "c") + field(4, b"") * 3 + field(3, GAUGE),
    varint(len(field(4, b"") + field(1, "c"))) + field(4, b"") + field(1, "c"), family("c", COUNTER, field(3, b"") + field(3, field(1, 5.0))),
]

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


def generate_protobuf(seed, count):
    rng = random.Random(seed)
    bodies = []
    for _ in range(count):
        body = b"".join(rng.choice(PROTOBUF_ROWS[8:] if rng.random() < 0.3 else PROTOBUF_ROWS[9:12]) for _ in range(rng.choice([1, 2, 4])))
        if rng.random() < 0.5 and body:
            at = rng.randrange(len(body))
            body = body[:at] + bytes([rng.choice([0, 1, 8, 10, 26, 34, 58, 127, 128, 255])]) + body[at + rng.choice([0, 1]):]
        bodies.append(body)
    return bodies


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
