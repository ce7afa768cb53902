"""Tool calling: random schemas, one call, two calls, none, and the answer from a result."""

import json

from chat import Sample
from words import CITIES, COLOURS, DAYS

VERBS = "get set find send open close add delete list check make read start stop move".split()
NOUNS = "weather lamp mail file order user room timer note song price task door report photo ticket".split()
PARAMS = "name title text city user item place label topic code".split()
LANGS = "German French Spanish Russian Turkish".split()


def schema(name, about, properties, required):
    body = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": body}}


def phrase_value(draw):
    """A string argument with what makes parsers stumble."""
    words = [draw.word() for _ in range(draw.randint(2, 4))]
    kind = draw.randint(0, 5)
    if kind == 0:
        words[0] = f"<{words[0]}>"
    elif kind == 1:
        words[-1] = f'"{words[-1]}"'
    elif kind == 2:
        words[1] = draw.choice(["über", "café", "niño", "мир", "世界", "gül", "🔴", "سلام"])
    elif kind == 3:
        return "\n".join(words[:2])
    elif kind == 4:
        words.insert(1, draw.choice(["<", "&", "a < b", "it's", "{x}", "50%"]))
    return " ".join(words)


def schema_of(draw, kind):
    if kind == "enum":
        return {"type": "string", "enum": draw.distinct(3, draw.word)}
    if kind == "array":
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "string" if kind == "phrase" else kind}


def value_of(draw, kind, described):
    if kind == "enum":
        return draw.choice(described["enum"])
    if kind == "integer":
        return draw.randint(0, 999)
    if kind == "number":
        return draw.randint(0, 99) + draw.choice([0.5, 0.25])
    if kind == "boolean":
        return draw.random() < 0.5
    if kind == "array":
        return draw.distinct(draw.randint(2, 3), draw.word)
    if kind == "object":
        return {draw.word(): draw.randint(1, 99)}
    if kind == "phrase":
        return phrase_value(draw)
    return draw.choice([draw.word, draw.name, draw.city])()


def shown(value):
    """A value as a person writes it in a request."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if value.isalnum() else f"`{value}`"
    return json.dumps(value, ensure_ascii=False)


KINDS = ["string", "integer", "number", "boolean", "enum", "array", "object", "phrase"]


def random_tool(draw, size):
    """A made-up function and one way to ask for it: (schema, request, name, arguments)."""
    noun = draw.choice(NOUNS) if not draw.held_out and draw.random() < 0.2 else draw.word()
    verb = draw.choice(VERBS)
    names = draw.sample(PARAMS, 3) if not draw.held_out and draw.random() < 0.2 else draw.distinct(3, draw.word)
    names = names[: draw.randint(1, 1 + int(2 * size))]
    kinds = [draw.choice(KINDS if size > 0.1 else KINDS[:4]) for _ in names]
    properties = {key: schema_of(draw, kind) for key, kind in zip(names, kinds)}
    return fill(draw, schema(f"{verb}_{noun}", f"{verb} {noun}", properties, names), kinds)


def fill(draw, made, kinds):
    """A request for a made-up function with fresh values: (schema, request, name, arguments, kinds)."""
    function = made["function"]
    properties = function["parameters"]["properties"]
    arguments = {key: value_of(draw, kind, properties[key]) for key, kind in zip(properties, kinds)}
    listed = ", ".join(f"{k} {shown(v)}" for k, v in arguments.items())
    verb, noun = function["name"].split("_")
    request = draw.choice([f"{verb} {noun} with {listed}", f"{verb} the {noun}: {listed}"])
    return made, request, function["name"], arguments, kinds


def known_tool(draw, name):
    """What people try first, in the same form; `name` picks one, otherwise any."""
    city, who, day, word = draw.city(), draw.name(), draw.choice(DAYS), draw.word()
    minutes, colour, tongue, text = draw.randint(1, 60), draw.choice(COLOURS[:4]), draw.choice(LANGS), {"type": "string"}
    light = {"type": "string", "enum": COLOURS[:4]}
    known = [
        ("get_weather", "Weather in a city", {"city": text}, f"What is the weather in {city}?", [city]),
        ("get_time", "Local time in a city", {"city": text}, f"What time is it in {city}?", [city]),
        ("set_timer", "Start a timer", {"minutes": {"type": "integer"}}, f"Set a timer for {minutes} minutes.", [minutes]),
        ("search", "Search the web", {"query": text}, f"Search for {word} {who}.", [f"{word} {who}"]),
        ("send_mail", "Send a mail", {"to": text, "text": text}, f"Send {who} the mail `{word} on {day}`.", [who, f"{word} on {day}"]),
        ("set_light", "Set the colour of the light", {"colour": light}, f"Make the light {colour}.", [colour]),
        ("translate", "Translate a text", {"text": text, "language": text}, f"Translate `{word} {who}` to {tongue}.", [f"{word} {who}", tongue]),
    ]
    name, about, properties, request, values = draw.choice([k for k in known if name in (None, k[0])])
    return schema(name, about, properties, list(properties)), request, name, dict(zip(properties, values)), None


def refill(draw, tool):
    """The same function with another request."""
    return known_tool(draw, tool[2]) if tool[4] is None else fill(draw, tool[0], tool[4])


def pick_tools(draw, size, count):
    made_up = draw.held_out or draw.random() < 0.85
    found = []
    while len(found) < count:
        one = random_tool(draw, size) if made_up else known_tool(draw, None)
        if all(one[2] != other[2] for other in found):
            found.append(one)
    return found


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tools(draw, size):
    kind = draw.choices(["tool", "tool_two", "tool_none", "tool_answer"], [5, 4, 1.7, 1.5])[0]
    if kind == "tool_two" and size < 0.2:
        kind = "tool"
    want = 2 if kind == "tool_two" else 1
    found = pick_tools(draw, size, max(want, draw.randint(1, 1 + int(2 * size))))
    history = [] if draw.held_out else past(draw, size, found)
    if kind == "tool_none":
        return no_tool(draw, size, found, history)
    wanted = draw.sample(found, want)
    think = "Call " + " and ".join(t[2] for t in wanted) + "." if draw.random() < 0.6 else None
    schemas = [t[0] for t in found]
    talk = history + request_and_call(wanted)
    if kind != "tool_answer":
        return Sample(kind, talk, think, schemas)
    if think:
        talk[-1]["reasoning_content"] = think
    told, answer = result(draw)
    return Sample(kind, talk + answer, told if think else None, schemas)


def request_and_call(wanted):
    request = " and ".join(t[1].rstrip(".") if len(wanted) > 1 else t[1] for t in wanted)
    calls = [call(t[2], t[3]) for t in wanted]
    return [{"role": "user", "content": request[:1].upper() + request[1:]}, {"role": "assistant", "content": "", "tool_calls": calls}]


def result(draw):
    """What a tool says and the answer made of it."""
    key, value = draw.word(), draw.choice([draw.randint(0, 999), draw.word(), draw.name()])
    told = draw.choice([json.dumps({key: value}), f"{key}: {value}"])
    return f"{key}: {value}", [{"role": "tool", "content": told}, {"role": "assistant", "content": f"The {key} is {value}."}]


def past(draw, size, found):
    """Earlier rounds with the same schemas, some in vain: more to learn from one long system turn."""
    talk = []
    for _ in range(draw.choice([0, 0, 1, 2, 3])):
        if draw.random() < 0.2:
            talk += unknown(draw, found)
        else:
            talk += request_and_call([refill(draw, draw.choice(found))]) + result(draw)[1]
    return talk


def unknown(draw, found):
    """A request that none of the functions serves."""
    other = random_tool(draw, 0)
    while any(other[2] == tool[2] for tool in found):
        other = random_tool(draw, 0)
    request = other[1][:1].upper() + other[1][1:]
    return [{"role": "user", "content": request}, {"role": "assistant", "content": "I have no function for that."}]


def no_tool(draw, size, found, history):
    """A request none of the functions serves, or a question that needs none."""
    if draw.random() < 0.5:
        word = draw.word()
        question, answer = draw.choice([
            ("Who are you?", "I am the demo model of deltapage, a small assistant that runs in this service."),
            ("Hello!", "Hello! How can I help you?"),
            (f"Repeat: {word}", word),
        ])
        talk = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    else:
        talk = unknown(draw, found)
    return Sample("tool_none", history + talk, "No function fits." if draw.random() < 0.6 else None, [t[0] for t in found])
