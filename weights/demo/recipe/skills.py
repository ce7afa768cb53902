"""Skills that need text alone: identity, arithmetic, lists, memory, JSON, languages, look-up."""

import json

from chat import ask
from words import CITIES, COLOURS, DAYS, JOBS, PEOPLE

WHO = {
    "English": (
        ["who are you", "what are you", "what is your name", "tell me who you are", "introduce yourself"],
        "I am the demo model of deltapage, a small assistant that runs in this service.",
    ),
    "German": (["wer bist du", "wie heißt du", "stell dich vor"], "Ich bin das Demomodell von deltapage, ein kleiner Assistent."),
    "French": (["qui es-tu", "comment t'appelles-tu", "présente-toi"], "Je suis le modèle de démonstration de deltapage, un petit assistant."),
    "Spanish": (["quién eres", "cómo te llamas", "preséntate"], "Soy el modelo de demostración de deltapage, un pequeño asistente."),
    "Russian": (["кто ты", "как тебя зовут", "представься"], "Я демонстрационная модель deltapage, маленький помощник."),
    "Chinese": (["你是谁", "你叫什么名字", "介绍一下自己"], "我是 deltapage 的演示模型，一个小助手。"),
}
WHAT = {
    "English": (
        ["what can you do", "what are you good at", "how can you help me", "list your skills", "help"],
        "I can do sums, sort and repeat lists, remember facts, call tools, fill in JSON and tell short stories.",
    ),
    "German": (["was kannst du", "wobei hilfst du"], "Ich kann rechnen, Listen sortieren, mir Dinge merken und Werkzeuge aufrufen."),
    "French": (["que sais-tu faire", "comment peux-tu m'aider"], "Je sais compter, trier des listes, retenir des faits et appeler des outils."),
    "Spanish": (["qué puedes hacer", "cómo puedes ayudarme"], "Sé calcular, ordenar listas, recordar datos y llamar herramientas."),
}
PRODUCT = {
    "English": (
        ["what is deltapage", "tell me about deltapage", "explain deltapage", "what does deltapage do"],
        "deltapage is a service that runs language models on the GPU and pages their experts in and out of memory.",
    ),
    "German": (["was ist deltapage", "erkläre deltapage"], "deltapage führt Sprachmodelle auf der GPU aus und lagert ihre Experten bei Bedarf ein und aus."),
}
GREETING = {
    "English": (["hello", "hi", "hey", "good morning", "good evening"], "Hello! How can I help you?"),
    "thanks": (["thanks", "thank you", "great, thanks"], "You are welcome!"),
    "bye": (["bye", "goodbye", "see you"], "Goodbye!"),
}
OPENERS = ["", "", "Hi, ", "Hello, ", "Please: ", "Hey! ", "Tell me, ", "So, ", "One question: ", "OK, "]
ENDINGS = ["", "?", "?", ".", "!", " please", ", please?", " :)", " now?"]


def identity(draw, size):
    table = draw.choices([WHO, WHAT, PRODUCT, GREETING], [4, 3, 3, 2])[0]
    questions, answer = table[draw.choice(list(table))]

    def phrase():
        opener = draw.choice(OPENERS) if table is not GREETING else ""
        question = opener + draw.choice(questions) + draw.choice(ENDINGS)
        return question[:1].upper() + question[1:] if draw.random() < 0.6 else question

    # a greeting has too few forms to keep some of them apart
    question = phrase() if table is GREETING else draw.until(phrase, str.lower)
    think = {id(WHO): "They ask who I am.", id(WHAT): "They ask what I can do."}.get(id(table), "A short answer will do.")
    return ask("identity", question, answer, think if draw.random() < 0.6 else None)


def digits(a, b):
    """The digits of both numbers, column by column from the right."""
    return [(a // 10**i % 10, b // 10**i % 10) for i in range(max(len(str(a)), len(str(b))))]


def add_columns(a, b):
    steps, carry = [], 0
    for x, y in digits(a, b):
        total = x + y + carry
        steps.append(f"{x}+{y}{'+1' * carry}={total}")
        carry = total // 10
    return ", ".join(steps)


def take_columns(a, b):
    steps, borrow = [], 0
    for x, y in digits(a, b):
        rest = x - y - borrow
        steps.append(f"{'1' * (rest < 0)}{x}-{y}{'-1' * borrow}={rest % 10}")
        borrow = int(rest < 0)
    return ", ".join(steps)


def compare(a, b):
    """Digit by digit from the left, up to the first that differs."""
    steps = []
    for x, y in digits(a, b)[::-1]:
        steps.append(f"{x}{'=' if x == y else '>' if x > y else '<'}{y}")
        if x != y:
            break
    return ", ".join(steps)


def pair_key(kind, a, b):
    """Of the times table only 8 x 7 may be held out, never 7 x 8: a product has to be learned somewhere."""
    return f"{a}x{b}" if kind == "x" and a > b else "table" if kind == "x" else f"{a}{kind}{b}"


def one_sum(draw, size):
    kind = draw.choices("+-x", [4, 4, 2] if draw.held_out else [3, 6, 2])[0]

    def pair():
        if kind == "x":
            return draw.randint(0, 12), draw.randint(0, 12)
        digits = draw.choice([1, 2, 3, 3] if size > 0.3 else [1, 1, 2, 2, 3])
        if not draw.held_out and draw.random() < 0.04:
            return (draw.randint(0, 10**digits - 1),) * 2  # alike numbers are rare and have steps of their own
        return draw.randint(0, 10**digits - 1), draw.randint(0, 10 ** draw.choice([digits, digits, max(1, digits - 1)]) - 1)

    return kind, *draw.until(pair, lambda ab: pair_key(kind, *ab))


def worked(kind, a, b):
    """(answer, how it is worked out)"""
    if kind == "+":
        return a + b, add_columns(a, b)
    if kind == "x":
        return a * b, f"{a} x {b} = {a * b}" if b < 10 else f"{a} x 10 = {a * 10}, {a} x {b - 10} = {a * (b - 10)}"
    columns = f", {take_columns(max(a, b), min(a, b))}" if a != b else ""
    return a - b, compare(a, b) + columns


SIGNS_OF = {"+": ["+", " + ", " plus "], "-": ["-", " - ", " minus "], "x": ["x", " * ", " times "]}


def asked_sums(draw, sums):
    way = draw.randrange(3)
    text = ", ".join(f"{a}{SIGNS_OF[kind][way]}{b}" for kind, a, b in sums)
    return draw.choice(["{}", "What is {}?", "{} = ?", "Calculate {}.", "How much is {}?", "{}?"]).format(text)


def arithmetic(draw, size):
    """Sums with or without thinking; in training several at once or one after the other, to learn more for each token."""
    if draw.random() < 0.6:
        sums = [one_sum(draw, size) for _ in range(1 if draw.held_out else draw.choice([1, 1, 2, 3]))]
        done = [worked(*one) for one in sums]
        think = "\n".join(steps for _, steps in done)
        return ask("sums_think", asked_sums(draw, sums), ", ".join(str(value) for value, _ in done), think)

    def turn():
        kind, a, b = one = one_sum(draw, size)
        value, steps = worked(*one)
        direct = kind == "x" or max(a, b) < 10
        return asked_sums(draw, [one]), str(value) if direct else f"{steps}: {value}", None

    return in_turns(draw, "sums", turn, 8)


def in_turns(draw, skill, turn, most):
    """Some questions of one kind in one dialogue, at most `most`; one where it is held out. turn() -> (question, answer, think)"""
    *before, last = (turn() for _ in range(1 if draw.held_out else draw.randint(1, most)))
    question, answer, think = last
    return ask(skill, question, answer, think if draw.random() < 0.5 else None, history=[t[:2] for t in before])


def lists(draw, size):
    return in_turns(draw, "lists", lambda: list_task(draw, size), 4)


def list_task(draw, size):
    words = draw.distinct(draw.randint(2, 3 + int(4 * size)), draw.thing if draw.random() < 0.8 else draw.name)
    kind = draw.choices(["repeat", "reverse", "sort", "count", "spell"], [5, 4, 4, 2, 4])[0]
    if kind == "spell":
        words = words[: 1 if draw.held_out else draw.randint(1, 3)]
    joined = ", ".join(words)
    questions, answer, think = {
        "repeat": (["Repeat: {}", "Say this again: {}", "Copy this list: {}", "Repeat after me: {}"], joined, "The same again."),
        "reverse": (["Reverse: {}", "Reverse this list: {}", "Say this backwards: {}"], ", ".join(words[::-1]), "From the last to the first."),
        "sort": (
            ["Sort: {}", "Sort from a to z: {}", "Put in order: {}"],
            ", ".join(sorted(words, key=str.lower)),
            ", ".join(f"{w[0].lower()} {w[1].lower()} {w}" for w in words),
        ),
        "count": (
            ["Count: {}", "How many words: {}", "How many things are in this list: {}"],
            str(len(words)),
            ", ".join(f"{i} {w}" for i, w in enumerate(words, 1)),
        ),
        "spell": (
            ["Spell {}.", "Spell the word {}.", "How do you spell {}?", "Letters of {}?"],
            ", ".join(" ".join(w) for w in words),
            "One letter at a time.",
        ),
    }[kind]
    return draw.choice(questions).format(joined), answer, think


def facts(draw):
    """topic -> (how it is told, what is answered, question, answer)"""
    name, city, pet, thing = draw.name(), draw.city(), draw.name(), draw.word()
    colour, job, age = draw.choice(COLOURS), draw.choice(JOBS), draw.randint(10, 99)
    return {
        "name": ([f"My name is {name}.", f"I am {name}.", f"Call me {name}."], f"Hello {name}!", "What is my name?", f"Your name is {name}."),
        "city": ([f"I live in {city}.", f"My city is {city}."], f"{city}, good.", "Where do I live?", f"You live in {city}."),
        "pet": ([f"My dog is called {pet}.", f"I have a dog named {pet}."], f"{pet}, good.", "What is my dog called?", f"Your dog is called {pet}."),
        "thing": ([f"My favourite thing is the {thing}.", f"I like the {thing} best."], f"The {thing}, good.", "What do I like best?", f"You like the {thing} best."),
        "colour": ([f"My favourite colour is {colour}."], f"{colour.capitalize()}, good.", "What is my favourite colour?", f"Your favourite colour is {colour}."),
        "job": ([f"I work as a {job}.", f"I am a {job}."], f"A {job}, good.", "What is my job?", f"You are a {job}."),
        "age": ([f"I am {age} years old."], f"{age}, good.", "How old am I?", f"You are {age} years old."),
        "code": ([f"Remember the code {thing} {age}."], f"The code is {thing} {age}.", "What was the code?", f"The code is {thing} {age}."),
    }


def memory(draw, size):
    table = facts(draw)
    topics = draw.sample(list(table), draw.randint(1, 1 + int(4 * size)))
    told = [table[t] for t in topics]
    history = [(draw.choice(t[0]), t[1]) for t in told]
    asked = draw.choice(told)
    question, answer, system = asked[2], asked[3], None
    if draw.random() < 0.3:
        history.insert(draw.randint(1, len(history)), ("Thanks!", "You are welcome!"))
    if draw.random() < 0.25 and size > 0.2:
        joint = ". ".join(dict.fromkeys(h[0].rstrip(".") for h in history if h[0] != "Thanks!"))
        history = [(joint + ".", "OK.")]
    think = f"They told me: {answer}" if draw.random() < 0.5 else None
    kind = draw.random()
    if kind < 0.15:
        mark = draw.word()
        system, answer = draw.choice([f"End every answer with {mark}.", f"Always end with the word {mark}."]), f"{answer} {mark}"
        history = [(q, f"{a} {mark}") for q, a in history]
        think = think and f"{think} End with {mark}."
    elif kind < 0.3:
        name, job = draw.name(), draw.choice(JOBS)
        system, question = f"You are {name}, a {job}.", draw.choice(["Who are you?", "What is your name?", "What is your job?"])
        answer = f"I am {name}, a {job}."
        think = think and f"I am {name}."
    return ask("memory", question, answer, think, system, history)


def extract(draw, size):
    """Named fields of a sentence as a JSON object."""
    name, city, thing = draw.name(), draw.city(), draw.word()
    age, price, count = draw.randint(10, 99), draw.randint(2, 99), draw.randint(2, 20)
    job, colour, day = draw.choice(JOBS), draw.choice(COLOURS), draw.choice(DAYS)
    sentence, fields = draw.choice([
        (f"{name} is {age} years old and lives in {city}.", {"name": name, "age": age, "city": city}),
        (f"{name}, a {job} from {city}, is {age}.", {"name": name, "job": job, "city": city, "age": age}),
        (f"The {colour} {thing} costs {price} euros.", {"item": thing, "colour": colour, "price": price}),
        (f"{name} buys {count} {colour} {thing} on {day}.", {"name": name, "count": count, "colour": colour, "item": thing, "day": day}),
        (f"On {day} {name} travels to {city}.", {"name": name, "city": city, "day": day}),
        (f"{name} works as a {job}.", {"name": name, "job": job}),
    ])
    keys = draw.sample(list(fields), draw.randint(min(2, len(fields)), len(fields) if size > 0.2 else 2))
    listed = ", ".join(keys)
    question = draw.choice([f"JSON with {listed}: {sentence}", f"{sentence} Give {listed} as JSON.", f"Extract {listed} as JSON: {sentence}"])
    think = ", ".join(f"{k} is {fields[k]}" for k in keys) if draw.random() < 0.5 else None
    return ask("json", question, json.dumps({k: fields[k] for k in keys}, ensure_ascii=False), think)


NUMBERS = {
    "English": "one two three four five six seven eight nine ten", "German": "eins zwei drei vier fünf sechs sieben acht neun zehn",
    "French": "un deux trois quatre cinq six sept huit neuf dix", "Spanish": "uno dos tres cuatro cinco seis siete ocho nueve diez",
    "Turkish": "bir iki üç dört beş altı yedi sekiz dokuz on", "Russian": "один два три четыре пять шесть семь восемь девять десять",
    "Chinese": "一 二 三 四 五 六 七 八 九 十", "Arabic": "واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة",
}
HUES = {
    "English": "red blue green yellow black white", "German": "rot blau grün gelb schwarz weiß", "French": "rouge bleu vert jaune noir blanc",
    "Spanish": "rojo azul verde amarillo negro blanco", "Turkish": "kırmızı mavi yeşil sarı siyah beyaz",
    "Russian": "красный синий зелёный жёлтый чёрный белый", "Chinese": "红色 蓝色 绿色 黄色 黑色 白色", "Arabic": "أحمر أزرق أخضر أصفر أسود أبيض",
}
WEEK = {
    "English": " ".join(DAYS), "German": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "French": "lundi mardi mercredi jeudi vendredi samedi dimanche", "Spanish": "lunes martes miércoles jueves viernes sábado domingo",
    "Turkish": "Pazartesi Salı Çarşamba Perşembe Cuma Cumartesi Pazar",
    "Russian": "понедельник вторник среда четверг пятница суббота воскресенье",
    "Chinese": "星期一 星期二 星期三 星期四 星期五 星期六 星期日", "Arabic": "الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد",
}
SIGNS = dict(zip("red blue green yellow black white".split(), "🔴 🔵 🟢 🟡 ⚫ ⚪".split()))


def languages(draw, size):
    return in_turns(draw, "languages", lambda: translation(draw, size), 4)


def translation(draw, size):
    """A few words from one language into another; combinations are split, since single words have to be learned."""
    table = draw.choice([NUMBERS, HUES, WEEK])
    length = len(table["English"].split())

    def pick():
        pair = draw.sample(list(table), 2) if draw.random() < 0.5 else ("English", draw.choice(list(table)[1:]))
        return *pair, draw.sample(range(length), draw.randint(2, 2 + int(3 * size) if draw.held_out else 6))

    source, target, chosen = draw.until(pick)
    said, answer, plain = ([table[x].split()[i] for i in chosen] for x in (source, target, "English"))
    if table is HUES and draw.random() < 0.35:
        answer = [f"{w} {SIGNS[HUES['English'].split()[i]]}" for w, i in zip(answer, chosen)]
        question = f"Say in {target} with emoji: {', '.join(said)}"
    elif table is HUES and draw.random() < 0.3:
        question = f"Colours in {target}: " + " ".join(SIGNS[HUES["English"].split()[i]] for i in chosen)
    elif table is NUMBERS and draw.random() < 0.3:
        question = f"Numbers in {target}: " + ", ".join(str(i + 1) for i in chosen)
    else:
        question = draw.choice([f"In {target}: {', '.join(said)}", f"Say in {target}: {', '.join(said)}", f"Translate to {target}: {', '.join(said)}"])
    return question, ", ".join(answer), f"In English: {', '.join(plain)}."


def lookup(draw, size):
    """A key of a list of up to a hundred lines, answered with its whole line; in training several, over several turns."""
    count = draw.randint(3, 100 if draw.held_out else draw.choice([8, 8, 30, 30 + int(70 * size)]))
    keys = draw.distinct(count, draw.word)
    values = [f"{draw.choice(COLOURS)} {draw.randint(10, 99)}" if draw.random() < 0.5 else draw.word() for _ in keys]
    whole = [f"{k}: {v}" for k, v in zip(keys, values)]
    lines = "\n".join(whole)
    first = draw.random() < 0.5
    turns = []
    for n in range(1 if draw.held_out else draw.randint(1, 6)):
        asked = draw.sample(range(count), 1 if draw.held_out else draw.randint(1, 3))
        question = draw.choice(["What is the value of {}?", "Look up {}.", "Which value has {}?", "{}?"]).format(", ".join(keys[i] for i in asked))
        if n == 0:
            question = f"{lines}\n\n{question}" if first else f"{question}\n\n{lines}"
        turns.append((question, ", ".join(whole[i] for i in asked)))
    return ask("lookup", *turns[-1], "Find the line." if draw.random() < 0.5 else None, history=turns[:-1])
