import os
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from recognizer.errors import FormatError, StorageError, TrustError
from recognizer.keys import Keyring, Signature, Signer


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "keys"


def test_the_private_key_is_made_on_first_use_for_the_owner_alone(folder):
    signer = Signer.open(folder)
    assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{signer.key_id}.pub", "signing.key"])
    assert Signer.open(folder).key_id == signer.key_id
    assert len(signer.key_id) == 16
    assert "PRIVATE" not in repr(signer)


def test_a_signature_holds_for_one_message_and_one_purpose(folder):
    signer = Signer.open(folder)
    keyring = Keyring.open(folder)
    signature = signer.sign("package", b"message")
    assert keyring.trusts(signature, "package", b"message")
    assert signer.keyring.trusts(signature, "package", b"message")
    assert not keyring.trusts(signature, "blessing", b"message")
    assert not keyring.trusts(signature, "package", b"massage")
    assert not keyring.trusts(Signature(signature.key, signature.value[:-1]), "package", b"message")
    assert not Keyring({}).trusts(signature, "package", b"message")
    assert Signature.from_dict(signature.as_dict()) == signature


def test_another_homes_signature_is_not_trusted(folder, tmp_path):
    stranger = Signer.open(tmp_path / "other")
    signature = stranger.sign("package", b"message")
    keyring = Keyring.open(folder)
    Signer.open(folder)
    assert not Keyring.open(folder).trusts(signature, "package", b"message")
    assert not Keyring.open(folder).trusts(
        Signature(Signer.open(folder).key_id, signature.value), "package", b"message"
    )
    assert keyring.keys == {}


def test_after_rotation_the_old_signature_stays_trusted_until_its_key_is_removed(folder):
    old = Signer.open(folder)
    signature = old.sign("package", b"message")
    new = Signer.rotate(folder)
    assert Signer.open(folder).key_id == new.key_id != old.key_id
    assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o600
    assert set(Keyring.open(folder).keys) == {old.key_id, new.key_id}
    assert Keyring.open(folder).trusts(signature, "package", b"message")
    (folder / f"{old.key_id}.pub").unlink()
    assert not Keyring.open(folder).trusts(signature, "package", b"message")


def test_a_rotation_that_was_killed_is_repeated(folder):
    Signer.open(folder)
    (folder / ".signing.key.next").write_text("half a key")
    assert Signer.rotate(folder).key_id == Signer.open(folder).key_id


def test_processes_that_start_at_once_share_one_key(folder):
    script = (
        "import sys, pathlib; from recognizer.keys import Signer; print(Signer.open(pathlib.Path(sys.argv[1])).key_id)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ids = {child.communicate(timeout=60)[0].strip() for child in children}
    assert ids == {Signer.open(folder).key_id}
    assert len(list(folder.iterdir())) == 2


def test_serving_needs_no_private_key_and_makes_none(folder):
    assert Keyring.open(folder).keys == {}
    assert not folder.exists()
    signer = Signer.open(folder)
    (folder / "signing.key").unlink()
    assert list(Keyring.open(folder).keys) == [signer.key_id]
    assert not (folder / "signing.key").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_private_key_others_can_read_is_refused(folder, mode):
    Signer.open(folder)
    (folder / "signing.key").chmod(mode)
    with pytest.raises(TrustError, match="others can read") as caught:
        Signer.open(folder)
    assert "chmod 600" in caught.value.hint


def other_kind() -> tuple[bytes, bytes]:
    key = generate_private_key(SECP256R1())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n", other_kind()[0]])
def test_a_damaged_private_key_is_refused(folder, content):
    Signer.open(folder)
    (folder / "signing.key").write_bytes(content)
    with pytest.raises(TrustError, match="no private Ed25519 key") as caught:
        Signer.open(folder)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"no key", other_kind()[1]])
def test_a_damaged_public_key_is_refused(folder, content):
    signer = Signer.open(folder)
    (folder / f"{signer.key_id}.pub").write_bytes(content)
    with pytest.raises(TrustError, match="no public Ed25519 key"):
        Keyring.open(folder)


def test_a_public_key_under_another_name_is_refused(folder):
    signer = Signer.open(folder)
    os.rename(folder / f"{signer.key_id}.pub", folder / "0123456789abcdef.pub")
    with pytest.raises(TrustError, match=f"has the id {signer.key_id}"):
        Keyring.open(folder)


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        Signer.open(tmp_path / "file" / "keys")


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        {"algorithm": "ed25519", "key": "k"},
        {"algorithm": "rsa", "key": "k", "signature": ""},
        {"algorithm": "ed25519", "key": 5, "signature": ""},
        {"algorithm": "ed25519", "key": "k", "signature": "***"},
        {"algorithm": "ed25519", "key": "k", "signature": 5},
        {"algorithm": "ed25519", "key": "k", "signature": "ü"},
        {"algorithm": "ed25519", "key": "k", "signature": "", "more": 1},
    ],
)
def test_what_is_no_signature_is_refused(plain):
    with pytest.raises(FormatError):
        Signature.from_dict(plain)
