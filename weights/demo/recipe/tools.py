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


def value_of(draw, kind):
    """(schema, value) of one parameter."""
    if kind == "enum":
        options = draw.distinct(3, draw.word)
        return {"type": "string", "enum": options}, draw.choice(options)
    if kind == "integer":
        return {"type": "integer"}, draw.randint(0, 999)
    if kind == "number":
        return {"type": "number"}, draw.randint(0, 99) + draw.choice([0.5, 0.25])
    if kind == "boolean":
        return {"type": "boolean"}, draw.random() < 0.5
    if kind == "array":
        return {"type": "array", "items": {"type": "string"}}, draw.distinct(draw.randint(2, 3), draw.word)
    if kind == "object":
        return {"type": "object"}, {draw.word(): draw.randint(1, 99)}
    if kind == "phrase":
        return {"type": "string"}, phrase_value(draw)
    return {"type": "string"}, draw.choice([draw.word, draw.name, draw.city])()


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
    noun = draw.choice(NOUNS) if not draw.held_out and draw.random() < 0.4 else draw.word()
    verb = draw.choice(VERBS)
    names = draw.sample(PARAMS, 3) if not draw.held_out and draw.random() < 0.5 else draw.distinct(3, draw.word)
    properties, arguments = {}, {}
    for key in names[: draw.randint(1, 1 + int(2 * size))]:
        properties[key], arguments[key] = value_of(draw, draw.choice(KINDS if size > 0.1 else KINDS[:4]))
    listed = ", ".join(f"{k} {shown(v)}" for k, v in arguments.items())
    request = draw.choice([f"{verb} {noun} with {listed}", f"{verb} the {noun}: {listed}"])
    return schema(f"{verb}_{noun}", f"{verb} {noun}", properties, list(properties)), request, f"{verb}_{noun}", arguments


def known_tool(draw, size):
    """What people try first."""
    city, name, day, word = draw.city(), draw.name(), draw.choice(DAYS), draw.word()
    minutes, text = draw.randint(1, 60), {"type": "string"}
    return draw.choice([
        (schema("get_weather", "Weather in a city", {"city": text}, ["city"]), f"What is the weather in {city}?", "get_weather", {"city": city}),
        (schema("get_time", "Local time in a city", {"city": text}, ["city"]), f"What time is it in {city}?", "get_time", {"city": city}),
        (schema("set_timer", "Start a timer", {"minutes": {"type": "integer"}}, ["minutes"]), f"Set a timer for {minutes} minutes.", "set_timer", {"minutes": minutes}),
        (schema("search", "Search the web", {"query": text}, ["query"]), f"Search for {word} {name}.", "search", {"query": f"{word} {name}"}),
        (schema("send_mail", "Send a mail", {"to": text, "text": text}, ["to", "text"]), f"Send {name} the mail `{word} on {day}`.", "send_mail", {"to": name, "text": f"{word} on {day}"}),
        (schema("light", "Set the colour of the light", {"colour": {"type": "string", "enum": COLOURS[:4]}}, ["colour"]), f"Make the light {(c := draw.choice(COLOURS[:4]))}.", "light", {"colour": c}),
        (schema("translate", "Translate a text", {"text": text, "language": text}, ["text", "language"]), f"Translate `{word} {name}` to {(g := draw.choice(LANGS))}.", "translate", {"text": f"{word} {name}", "language": g}),
    ])


def pick_tools(draw, size, count):
    make = random_tool if draw.held_out or draw.random() < 0.7 else known_tool
    found = []
    while len(found) < count:
        one = make(draw, size)
        if all(one[2] != other[2] for other in found):
            found.append(one)
    return found


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tools(draw, size):
    kind = draw.choices(["tool", "tool_two", "tool_none", "tool_answer"], [5, 2, 1, 2.5])[0]
    if kind == "tool_two" and size < 0.2:
        kind = "tool"
    want = 2 if kind == "tool_two" else 1
    found = pick_tools(draw, size, max(want, draw.randint(1, 1 + int(2 * size))))
    if kind == "tool_none":
        return no_tool(draw, size, found)
    wanted = draw.sample(found, want)
    request = " and ".join(t[1].rstrip(".") if want > 1 else t[1] for t in wanted)
    calls = [call(t[2], t[3]) for t in wanted]
    answer = {"role": "assistant", "content": "", "tool_calls": calls}
    talk = [{"role": "user", "content": request[:1].upper() + request[1:]}, answer]
    thinks = draw.random() < 0.6
    think = "Call " + " and ".join(t[2] for t in wanted) + "." if thinks else None
    schemas = [t[0] for t in found]
    if kind != "tool_answer":
        return Sample(kind, talk, think, schemas)
    if thinks:
        answer["reasoning_content"] = think
    key, value = draw.word(), draw.choice([draw.randint(0, 999), draw.word(), draw.name()])
    result = draw.choice([json.dumps({key: value}), f"{key}: {value}"])
    talk += [{"role": "tool", "content": result}, {"role": "assistant", "content": f"The {key} is {value}."}]
    return Sample(kind, talk, f"{key}: {value}" if thinks else None, schemas)


def no_tool(draw, size, found):
    """A request none of the functions serves, or a question that needs none."""
    if draw.random() < 0.5:
        question, answer = draw.choice([("Who are you?", "I am the demo model of deltapage, a small assistant that runs in this service."), ("Hello!", "Hello! How can I help you?")])
        word = draw.word()
        question = draw.choice([question, f"Repeat: {word}"])
        answer = word if question.startswith("Repeat") else answer
    else:
        other = random_tool(draw, 0)
        question, answer = other[1][:1].upper() + other[1][1:], "I have no function for that."
        found = [t for t in found if t[2] != other[2]]
    think = "No function fits." if draw.random() < 0.6 else None
    return Sample("tool_none", [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], think, [t[0] for t in found])
