"""Words and made-up names, and the split that keeps some of them out of training."""

import random
import zlib

# Every part opens with a consonant and every start ends in a vowel: the BPE then always cuts between the parts.
STARTS = """ba be bo bri ca ce cla da de do dra fa fe flo ga ge gri ha he jo ka ke kla la le li lo lu ma me mi mo
na ne ni no pa pe pi po qui ra re ri ro sa se si so sta ta te ti to tri va ve vi wa we xa ya yo za ze""".split()
ENDS = """ban bel bert bin cas da dor dra fin fran gan gard go ka kan kin la lan len lin lo mar men mi mon na nak ner
net nis no pel pin ra ral ran rek ri rin rol ros ru san sel son sta tan tek tin to tra van vel vik vin win xi yan zen zo""".split()
PEOPLE = """Alice Bob Carol David Emma Frank Grace Henry Ivan Julia Karl Laura Maria Nina Oscar Paul Rosa Sam Tom Vera
Anna Ben Chris Diana Erik Fatima Hugo Ines Jack Kate Leo Mia Noah Olga Peter Ruth Sara Tim Yusuf Zoe""".split()
CITIES = """Oslo Paris Berlin London Rome Madrid Cairo Tokyo Lima Quito Delhi Seoul Sofia Riga Vienna Prague Athens
Dublin Moscow Istanbul Ankara Beijing Boston Chicago Toronto Sydney Nairobi Lagos Geneva Milan""".split()
THINGS = """apple pear plum lemon grape melon bread cheese rice soup tea coffee milk water cake cup plate fork spoon
knife lamp table chair desk door window wall roof house garden tree leaf flower river lake sea hill stone sand road
bridge boat train car bus bike wheel ball book pen paper letter box bag coat hat shoe ring coin clock key map bell drum
piano guitar song moon star sun cloud rain snow wind fire ice gold iron glass wood rope tent""".split()
ANIMALS = "cat dog fox bear wolf owl crow duck goose horse cow goat sheep pig hen mouse rabbit frog fish whale bee ant".split()
COLOURS = "red blue green yellow black white orange purple pink brown grey".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
JOBS = "baker doctor teacher farmer painter pilot singer writer driver nurse cook judge tailor sailor gardener".split()


def held(text):
    """True for about one text in eight: such names, numbers and combinations are never trained on."""
    return zlib.crc32(text.encode()) % 8 == 0


class Draw(random.Random):
    """A seeded source that gives only training material, or only held-out material where `held_out` is set."""

    held_out = False

    def fits(self, text):
        return held(text) == self.held_out

    def until(self, make, key=str):
        """Makes things until one is on this source's side of the split."""
        while True:
            thing = make()
            if self.fits(key(thing)):
                return thing

    def word(self):
        """A made-up lower-case word of two or three syllables."""
        middle = self.choice(STARTS) if self.random() < 0.15 else ""
        return self.until(lambda: self.choice(STARTS) + middle + self.choice(ENDS))

    def name(self):
        return self.real(PEOPLE) or self.word().capitalize()

    def city(self):
        return self.real(CITIES) or self.word().capitalize()

    def thing(self):
        return self.real(THINGS + ANIMALS, 0.5) or self.word()

    def real(self, pool, chance=0.3):
        """Real words serve training; held-out material is made up, so that its parts are known and its whole is not."""
        return None if self.held_out or self.random() > chance else self.choice(pool)

    def distinct(self, count, make):
        found = []
        while len(found) < count:
            thing = make()
            if thing not in found:
                found.append(thing)
        return found
