# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second reader of docs/peer-format.md: peer.py PASSPHRASE-FILE PATH...

It follows that document and the LUKS2 On-Disk Format Specification, and has nothing of eyrie's or
of libcryptsetup's: it says whether the two are enough for a stranger. Slow, for AES only, and of no
use but to be compared with.
"""

import base64
import hashlib
import json
import struct
import sys
import uuid
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SECTOR = 512
BINARY_HEADER = 4096
CIPHERS = ("aes-xts-plain64", "serpent-xts-plain64", "twofish-xts-plain64")
BOX = struct.Struct("<8sII16sQ64s64s32s8s")


class Refused(Exception):
    """A header, or a box, that is not to be used; the text says why."""


# LUKS2


def checksum(raw, algorithm):
    """Of one copy of a header, with the 64 bytes of its checksum as zeros."""
    return hashlib.new(algorithm, raw[:448] + bytes(64) + raw[512:]).digest()


def read_copy(file, offset, magic):
    """(sequence number, UUID, JSON) of the copy at `offset`, or None."""
    file.seek(offset)
    raw = file.read(BINARY_HEADER)
    if len(raw) < BINARY_HEADER or raw[:6] != magic or raw[6:8] != b"\0\2":
        return None
    size, sequence = struct.unpack(">QQ", raw[8:24])
    if not BINARY_HEADER < size <= 4 << 20 or struct.unpack(">Q", raw[256:264])[0] != offset:
        return None
    file.seek(offset)
    raw = file.read(size)
    algorithm = raw[72:104].rstrip(b"\0").decode()
    if algorithm not in hashlib.algorithms_available:
        return None
    digest = checksum(raw, algorithm)
    if raw[448:448 + len(digest)] != digest:
        return None
    text = raw[BINARY_HEADER:].split(b"\0", 1)[0]
    return sequence, raw[168:208].rstrip(b"\0").decode(), json.loads(text)


def copies(path):
    """Both copies; the second one is as far from the start as the first one is long."""
    with open(path, "rb") as file:
        yield read_copy(file, 0, b"LUKS\xba\xbe")
        for shift in range(14, 23):
            found = read_copy(file, 1 << shift, b"SKUL\xba\xbe")
            if found:
                yield found
                return


def derive(kdf, passphrase, size):
    salt = base64.b64decode(kdf["salt"])
    if kdf["type"] == "pbkdf2":
        return hashlib.pbkdf2_hmac(kdf["hash"], passphrase, salt, kdf["iterations"], size)
    kind = {"argon2i": Type.I, "argon2id": Type.ID}[kdf["type"]]
    return hash_secret_raw(passphrase, salt, kdf["time"], kdf["memory"], kdf["cpus"], size, kind)


def decrypt(key, data):
    """XTS with plain64: the tweak is the number of the sector, counted from the area's begin."""
    plain = bytearray()
    for i in range(0, len(data), SECTOR):
        tweak = (i // SECTOR).to_bytes(16, "little")
        plain += Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor().update(
            data[i:i + SECTOR])
    return bytes(plain)


def diffuse(block, name):
    size, out = hashlib.new(name).digest_size, b""
    for i, at in enumerate(range(0, len(block), size)):
        part = block[at:at + size]
        out += hashlib.new(name, struct.pack(">I", i) + part).digest()[:len(part)]
    return out


def merge(stripes, size, name):
    """The anti-forensic splitter of LUKS, undone."""
    last = bytes(size)
    for at in range(0, len(stripes), size):
        last = bytes(a ^ b for a, b in zip(last, stripes[at:at + size]))
        if at + size < len(stripes):
            last = diffuse(last, name)
    return last


class Device:
    """One LUKS2 device, opened for reading."""

    def __init__(self, path):
        self.path = path
        found = [c for c in copies(path) if c]
        if not found:
            raise Refused("no LUKS2 header")
        _, self.uuid, self.json = max(found, key=lambda c: c[0])
        self.check()

    def check(self):
        """Step 1 of opening a set: before any key derivation."""
        if self.json["config"].get("requirements", {}).get("mandatory"):
            raise Refused("mandatory requirements")
        used = [s["encryption"] for s in self.json["segments"].values()]
        used += [k["area"]["encryption"] for k in self.json["keyslots"].values()]
        if not used or any(cipher not in CIPHERS for cipher in used):
            raise Refused("a cipher that is not accepted")

    def token(self):
        for token in self.json["tokens"].values():
            if token["type"] == "eyrie-peer" and token.get("version") == 1:
                return token
        return None

    def area(self, slot, size=None):
        area = slot["area"]
        with open(self.path, "rb") as file:
            file.seek(int(area["offset"]))
            return file.read(size or int(area["size"]))

    def bound_slots(self):
        """Numbers of the slots whose digest has a segment."""
        return [n for d in self.json["digests"].values() if d["segments"] for n in d["keyslots"]]

    def digest_holds(self, number, key):
        for digest in self.json["digests"].values():
            if number in digest["keyslots"]:
                want = base64.b64decode(digest["digest"])
                return want == hashlib.pbkdf2_hmac(
                    digest["hash"], key, base64.b64decode(digest["salt"]), digest["iterations"],
                    len(want))
        return False

    def open(self, number, passphrase):
        """The key in a slot, or None."""
        slot = self.json["keyslots"].get(str(number))
        if not slot:
            return None
        if not slot["area"]["encryption"].startswith("aes-"):
            raise NotImplementedError(slot["area"]["encryption"])
        size, stripes = slot["key_size"], slot["af"]["stripes"]
        derived = derive(slot["kdf"], passphrase, slot["area"]["key_size"])
        length = size * stripes
        data = self.area(slot, (length + SECTOR - 1) // SECTOR * SECTOR)
        key = merge(decrypt(derived, data)[:length], size, slot["af"]["hash"])
        return key if self.digest_holds(str(number), key) else None

    def fingerprint(self, number):
        slot = self.json["keyslots"].get(str(number))
        if not slot:
            return None
        lines = sorted(f"{name}={value}\n" for name, value in slot["kdf"].items())
        return hashlib.sha256(self.area(slot) + "".join(lines).encode()).hexdigest()


# the peer format


@dataclass
class Box:
    set: uuid.UUID
    generation: int
    set_key: bytes
    previous_key: bytes | None
    body: str

    def seal(self):
        """The 208 bytes."""
        return BOX.pack(b"EYRIEBOX", 1, 1 if self.previous_key else 0, self.set.bytes,
                        self.generation, self.set_key, self.previous_key or bytes(64),
                        hashlib.sha256(self.body.encode()).digest(), bytes(8))

    @staticmethod
    def open(sealed, body):
        if len(sealed) != BOX.size:
            raise Refused("a box of another size")
        magic, version, flags, identity, generation, key, previous, digest, _ = BOX.unpack(sealed)
        if magic != b"EYRIEBOX" or version != 1:
            raise Refused("no box, or of a version that is not known")
        if hashlib.sha256(body.encode()).digest() != digest:
            raise Refused("the body is not the one that the box vouches for")
        return Box(uuid.UUID(bytes=identity), generation, key, previous if flags & 1 else None,
                   body)

    def member(self, identity):
        for member in json.loads(self.body)["members"]:
            if member["uuid"] == identity:
                return member
        return None


@dataclass
class Member:
    path: str
    device: Device = None
    state: str = "closed"
    name: str = None
    key: bytes = None

    def generation(self):
        token = self.device.token()
        return token["generation"] if token else 0

    def set(self):
        token = self.device.token()
        return token["set"] if token else None

    def intact(self):
        """The passphrase slot is what it was when the token was written."""
        token = self.device.token()
        return token and self.device.fingerprint(token["passphrase"]) == token["fingerprint"]

    def further_slots(self):
        """Those that a passphrase may open beside the token's."""
        keyslots, tokens = self.device.json["keyslots"], self.device.json["tokens"].values()
        of_others = {slot for token in tokens if not token["type"].startswith("eyrie-")
                     for slot in token["keyslots"]}

        def cheap(number):
            kdf = keyslots[number]["kdf"]
            return kdf["type"] == "pbkdf2" and kdf["iterations"] == 1000 and number not in of_others

        return [int(number) for number in map(str, self.device.bound_slots())
                if int(number) != self.device.token()["passphrase"] and not cheap(number) and
                keyslots[number].get("priority", 1) != 0]

    def try_passphrase(self, passphrase):
        slots = self.device.bound_slots()
        if self.intact():
            slots = [self.device.token()["passphrase"], *self.further_slots()]
        for slot in slots:
            self.key = self.device.open(slot, passphrase)
            if self.key:
                return True
        return False

    def box(self):
        token = self.device.token()
        sealed = token and self.device.open(token["box"], self.key)
        if not sealed:
            return None
        try:
            box = Box.open(sealed, token["body"])
        except Refused:
            return None
        return box if box.member(self.device.uuid) else None

    def accept(self, box):
        self.state, self.name = "opens", box.member(self.device.uuid)["name"]

    def close(self, state="closed"):
        self.state, self.key = state, None


@dataclass
class Set:
    members: list
    box: Box = None
    wrong: bool = False

    @staticmethod
    def of(paths):
        members = [Member(path) for path in paths]
        for member in members:
            try:
                member.device = Device(member.path)
            except Refused:
                member.state = "unusable"
        return Set(members)

    def candidates(self):
        """Steps 2 and 5: those whose answer counts come first, the newest of them at their head."""
        usable = sorted((m for m in self.members if m.device), key=Member.generation, reverse=True)
        return [m for m in usable if m.intact()] + [m for m in usable if not m.intact()]

    def open(self, passphrase):
        refused, newest, orphans = set(), 0, []
        for member in self.candidates():
            if member.state != "closed" or (member.intact() and member.set() in refused and
                                            not member.further_slots()):
                continue
            if not member.try_passphrase(passphrase):
                if member.intact():
                    refused.add(member.set())
                    newest = max(newest, member.generation())
                continue
            box = member.box()
            if not box or (self.box and box.generation <= self.box.generation):
                if not box:
                    orphans.append(member.generation())
                member.close()
                continue
            self.believe(member, box)
            self.open_others(passphrase)
            if self.box and sum(m.state == "opens" for m in self.members) > 1 or not any(
                    m.state in ("closed", "foreign") for m in self.members):
                break
        self.wrong = not self.box and not any(age >= newest for age in orphans)

    def believe(self, member, box):
        for other in self.members:
            if other is not member and other.state in ("opens", "foreign"):
                other.close()
        self.box = box
        member.accept(box)

    def open_others(self, passphrase):
        """Step 4."""
        again, outdated = True, False
        while again:
            again = False
            for member in [m for m in self.members if m.state == "closed" and m.device]:
                newer = self.open_other(member, passphrase)
                outdated = outdated or self.is_refused_by(member)
                if newer:
                    self.believe(member, newer)
                    again = True
                    break
        if outdated:
            for member in self.members:
                if member.state in ("opens", "foreign"):
                    member.close()
            self.box = None

    def is_refused_by(self, member):
        """It knows of a newer generation, and its intact slot did not open."""
        return (member.state == "closed" and not member.key and member.intact() and
                member.set() == str(self.box.set) and member.generation() > self.box.generation)

    def open_other(self, member, passphrase):
        known = self.box.member(member.device.uuid)
        if not known:
            member.close("foreign")
            return None
        keys = [self.box.set_key, self.box.previous_key]
        for key in reversed(keys) if known["previous"] else keys:
            member.key = key and member.device.open(known["set-key"], key)
            if member.key:
                member.accept(self.box)
                return None
        if not member.try_passphrase(passphrase):
            return None
        box = member.box()
        if box and box.generation > self.box.generation:
            return box
        if box and box.generation < self.box.generation:
            member.close()
        else:
            member.accept(self.box)
        return None

    def describe(self):
        """In the form of `eyrie unlock --test --json`."""
        return {"wrong-passphrase": self.wrong,
                "set": str(self.box.set) if self.box else None,
                "generation": self.box.generation if self.box else None,
                "members": [{"path": m.path, "name": m.name, "state": m.state}
                            for m in self.members]}


def main():
    with open(sys.argv[1], "rb") as file:
        passphrase = file.read().rstrip(b"\n")
    peers = Set.of(sys.argv[2:])
    peers.open(passphrase)
    json.dump(peers.describe(), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
