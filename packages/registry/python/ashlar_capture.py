"""What an MLflow run was made from, stored with it so that it can be rebuilt.

    import mlflow, ashlar_capture

    with mlflow.start_run():
        ashlar_capture.capture(seeds={"numpy": 7})

Records commit, uncommitted changes, untracked files, lockfiles, packages, command line, environment,
seeds, datasets and machine: as MLflow's tags ``mlflow.source.*`` and as the artifacts
``ashlar/source.json``, ``ashlar/source.patch`` and ``ashlar/untracked.tar``. Works in scripts and
notebooks, with or without git. ``ashlar-registry reproduce <run>`` rebuilds the tree byte for byte.

Secrets are left out: files with their names or forms, and values of variables and arguments with
their names. What was left out is listed, without its content or digest.

One file, the standard library and the ``mlflow`` client (full or skinny): copy it where you need it.
Licence: Apache-2.0.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import stat
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request

__all__ = ["capture", "CaptureError"]

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"pass(?:wd|word|phrase)|pwd$|secret|token(?!iz)|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential|auth(?!or)|cookie|session(?!_?dir)|bearer|dsn$|conn(?:ection)?[_-]?str|signing"
    r"|salt$|_key$|-key$|^key$",
    re.I,
)

# Forms that tokens of well-known services have; URL passwords are the named group.
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}"
    r"|\bgithub_pat_[A-Za-z0-9_]{22,255}"
    r"|\bglpat-[\w-]{20,100}"
    r"|\bxox[abeoprs]-[\w-]{10,200}"
    r"|\b(?:sk-|[sr]k_(?:live|test)_)(?=[\w-]{0,200}\d)[\w-]{20,200}"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{5,2000}"
    r"|\bhf_[A-Za-z0-9]{30,100}"
    r"|\bnpm_[A-Za-z0-9]{36}"
    r"|\bpypi-AgEI[\w-]{20,500}"
    r"|\bdapi[0-9a-f]{32}"
    r"|\b(?i:Bearer|Basic)\s+(?=[\w+/=.~-]{0,4000}\d)[\w+/=.~-]{16,4000}"
    r"|(?P<before>://[^\s/:@'\"]{0,200}:)[^\s/@'\"]{1,500}(?=@)",
    re.A,
)

# `password = "..."` with a value that has letters and digits.
_ASSIGNED = re.compile(
    r"(?:password|passwd|secret|token|api_?key|access_?key)[\"']?\s{0,5}[:=]{1,2}\s{0,5}[\"']"
    r"(?=[^\"'\s]{0,200}\d)(?=[^\"'\s]{0,200}[A-Za-z])[^\"'\s]{12,500}[\"']",
    re.I | re.A,
)

_SECRET_FILE = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example$|sample$|template$)[^/]+)?|\.netrc|_netrc|\.pgpass|\.npmrc"
    r"|\.yarnrc\.yml|\.pypirc|\.htpasswd|\.git-credentials|id_(?:rsa|dsa|ecdsa|ed25519)"
    r"|credentials(?:\.(?:json|ya?ml|toml|ini))?|[^/]*service[-_]?account[^/]*\.json"
    r"|secrets?\.(?:json|ya?ml|toml|ini|env)"
    r"|[^/]+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc))$",
    re.I,
)

# Variables that change what a program computes.
_TELLING = re.compile(
    r"^(?:LANG|LC_[A-Z]+|TZ|CI|(?:OMP|MKL|OPENBLAS|NUMEXPR|VECLIB)_[A-Z_]+|CUDA_[A-Z_]+"
    r"|NVIDIA_[A-Z_]+|CUBLAS_[A-Z_]+|ORT_[A-Z_]+|TF_[A-Z_]+|XLA_[A-Z_]+|(?:TORCH|PYTORCH)_[A-Z_]+"
    r"|NCCL_[A-Z_]+|PYTHON(?:HASHSEED|PATH|OPTIMIZE|UTF8)|VIRTUAL_ENV|CONDA_DEFAULT_ENV"
    r"|TOKENIZERS_PARALLELISM|SLURM_(?:JOB_ID|NTASKS|PROCID|NNODES|CPUS_PER_TASK)|RANK|WORLD_SIZE"
    r"|LOCAL_RANK|ASHLAR_[A-Z_]+|MLFLOW_[A-Z_]+)$"
)

_LOCKFILES = (
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt", "environment.yml",
    "conda-lock.yml", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock",
    "bun.lock",
)  # fmt: skip

_LIMITS = {
    "patch_bytes": 64 << 20,
    "file_bytes": 8 << 20,
    "total_bytes": 64 << 20,
    "files": 10_000,
}

# Nothing that a repository or a user configured runs or changes the output.
_QUIET = ["--no-pager"] + [
    part
    for setting in (
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.quotePath=false",
        "diff.noprefix=false",
        "diff.mnemonicPrefix=false",
        "diff.suppressBlankEmpty=false",
        "diff.ignoreSubmodules=none",
        "color.ui=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "protocol.ext.allow=never",
        "submodule.recurse=false",
    )
    for part in ("-c", setting)
]

_DIFF = [
    "diff", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "HEAD",
]  # fmt: skip


class CaptureError(Exception):
    """What the run was made from cannot be read."""


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _digest_file(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return "sha256:" + digest.hexdigest()


class _Secrets:
    """Finds and replaces secrets, those of this process among them."""

    def __init__(self, env) -> None:
        self._values = sorted(
            {
                value
                for name, value in env.items()
                # Short values would be found everywhere.
                if _SECRET_NAME.search(name)
                and len(value) >= 8
                and not re.match(r"/|\d+$", value)
            },
            key=len,
            reverse=True,
        )

    def redact(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, REDACTED)
        return _FORMS.sub(lambda found: (found["before"] or "") + REDACTED, text)

    def is_in(self, content: bytes) -> bool:
        text = content.decode("latin-1")
        return (
            any(value.encode().decode("latin-1") in text for value in self._values)
            or _FORMS.search(text) is not None
            or _ASSIGNED.search(text) is not None
        )

    def redact_arguments(self, args: list[str]) -> list[str]:
        shown = []
        for at, arg in enumerate(args):
            before = args[at - 1] if at > 0 else ""
            name, equals, _ = arg.partition("=")
            if (
                re.fullmatch(r"--?[\w-]+", before)
                and _SECRET_NAME.search(before)
                and not arg.startswith("-")
            ):
                shown.append(REDACTED)
            elif equals and re.fullmatch(r"-{0,2}[\w.-]+", name) and _SECRET_NAME.search(name):
                shown.append(f"{name}={REDACTED}")
            else:
                shown.append(self.redact(arg))
        return shown

    def redact_environment(self, env, allow) -> dict[str, str]:
        return {
            name: REDACTED if _SECRET_NAME.search(name) else self.redact(env[name])[:2000]
            for name in sorted(env)
            if _TELLING.match(name) or name in allow
        }


def _git(args: list[str], directory: str, limit: int = 64 << 20) -> tuple[int, bytes, bool]:
    """Runs git without a shell; its exit status, its output, and whether there was too much of it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env.update(
        GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", GIT_ALLOW_PROTOCOL="file:https:ssh", LC_ALL="C"
    )
    with tempfile.TemporaryFile() as out:
        try:
            done = subprocess.run(
                ["git", *_QUIET, *args],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return -1, b"", False
        size = out.tell()
        if size > limit:
            return done.returncode, b"", True
        out.seek(0)
        return done.returncode, out.read(), False


def _git_or_raise(args: list[str], directory: str) -> bytes:
    code, out, cut = _git(args, directory)
    if code != 0 or cut:
        raise CaptureError(f"git {args[0]} failed in {directory}")
    return out


def _line(args: list[str], directory: str) -> str | None:
    code, out, _ = _git(args, directory)
    text = out.decode("utf-8", "replace").strip()
    return text if code == 0 and text else None


def _paths(out: bytes) -> list[str]:
    paths = [os.fsdecode(path) for path in out.split(b"\0") if path]
    return list(dict.fromkeys(paths))


def _mode(status: os.stat_result) -> str:
    return "100755" if status.st_mode & 0o100 else "100644"


def _stays_inside(path: str, target: str) -> bool:
    if os.path.isabs(target) or "\0" in target:
        return False
    end = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return end != ".." and not end.startswith("../")


def _without_user(remote: str) -> str:
    if not re.match(r"[a-z+]+://", remote, re.I):
        return remote
    parts = urllib.parse.urlsplit(remote)
    return urllib.parse.urlunsplit(
        (parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")
    )


def _tree_digest(files: list[tuple[str, str, str]]) -> str:
    digest = hashlib.sha256()
    for path, mode, content in sorted(files, key=lambda file: file[0].encode()):
        digest.update(f"{mode} {content} {path}\0".encode())
    return "sha256:" + digest.hexdigest()


def _gather(root: str, paths: list[str], secrets: _Secrets, limits) -> dict:
    """Reads untracked files, as far as the limits go."""
    untracked, withheld, entries, total = [], [], [], 0

    def add(path: str, mode: str, content: bytes) -> None:
        nonlocal total
        total += len(content)
        entries.append((path, mode, content))
        untracked.append(
            {
                "path": path,
                "mode": mode,
                "size": len(content),
                "digest": _digest(content),
                "stored": True,
            }
        )

    for path in sorted(paths):
        file = os.path.join(root, path)
        try:
            status = os.lstat(file)
        except OSError:
            continue
        try:
            path.encode()
        except UnicodeEncodeError:
            withheld.append(
                {"path": path.encode("utf-8", "replace").decode(), "reason": "its name is not UTF-8"}
            )
            continue
        if len(untracked) + len(withheld) >= limits["files"]:
            reason = f"more than {limits['files']} untracked files: this and the rest"
            withheld.append({"path": path, "reason": reason})
            break
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(file)
            if _stays_inside(path, target):
                add(path, "120000", os.fsencode(target))
            else:
                withheld.append({"path": path, "reason": "a link that leaves the tree"})
        elif not stat.S_ISREG(status.st_mode):
            withheld.append({"path": path, "reason": "neither a file nor a link"})
        elif _SECRET_FILE.search(path):
            withheld.append({"path": path, "reason": "its name is that of a file with secrets"})
        elif status.st_size > limits["file_bytes"] or total + status.st_size > limits["total_bytes"]:
            untracked.append(
                {
                    "path": path,
                    "mode": _mode(status),
                    "size": status.st_size,
                    "digest": _digest_file(file),
                    "stored": False,
                }
            )
        else:
            with open(file, "rb") as opened:
                content = opened.read()
            if secrets.is_in(content):
                withheld.append({"path": path, "reason": "it holds what looks like a secret"})
            else:
                add(path, _mode(status), content)
    return {"untracked": untracked, "withheld": withheld, "entries": entries}


def _changes(root: str, secrets: _Secrets, limit: int) -> tuple[list[str], bytes, list[dict]]:
    """Changes of tracked files, without those that hold secrets."""
    names = _paths(
        _git_or_raise(["diff", "--name-only", "-z", "--no-ext-diff", "--no-renames", "HEAD"], root)
    )
    if not names:
        return names, b"", []
    withheld: list[dict] = []
    for path in names:
        if _SECRET_FILE.search(path):
            withheld.append({"path": path, "reason": "its name is that of a file with secrets"})
            continue
        # A binary patch does not show what it holds.
        try:
            with open(os.path.join(root, path), "rb") as opened:
                content = opened.read()
        except OSError:
            continue
        if secrets.is_in(content):
            withheld.append({"path": path, "reason": "it holds what looks like a secret"})

    def without() -> tuple[int, bytes, bool]:
        left_out = [f":(exclude,top,literal){one['path']}" for one in withheld]
        return _git([*_DIFF, "--", *([".", *left_out] if left_out else [])], root, limit)

    code, patch, cut = without()
    if not cut and secrets.is_in(patch):
        # In a line that was removed, say.
        known = {one["path"] for one in withheld}
        for path in names:
            if path in known:
                continue
            _, part, _ = _git([*_DIFF, "--", f":(top,literal){path}"], root, limit)
            if secrets.is_in(part):
                reason = "its change holds what looks like a secret"
                withheld.append({"path": path, "reason": reason})
        code, patch, cut = without()
    if cut:
        reason = f"the patch has more than {limit} bytes"
        return names, b"", [{"path": path, "reason": reason} for path in names]
    if code != 0:
        raise CaptureError(f"git diff failed in {root}")
    return names, patch, withheld


def _archive(entries: list[tuple[str, str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, mode, content in entries:
            info = tarfile.TarInfo(path)
            if mode == "120000":
                info.type = tarfile.SYMTYPE
                info.linkname = os.fsdecode(content)
                archive.addfile(info)
            else:
                info.mode = int(mode[-3:], 8)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _finish(gathered: dict, tracked: list[tuple[str, str, str]]) -> dict:
    stored = [file for file in gathered["untracked"] if file["stored"]]
    files = tracked + [(file["path"], file["mode"], file["digest"]) for file in stored]
    complete = not gathered["withheld"] and len(stored) == len(gathered["untracked"])
    return {
        "untracked": gathered["untracked"],
        "withheld": gathered["withheld"],
        "tree": {"digest": _tree_digest(files), "files": len(files), "complete": complete},
        "archive": _archive(gathered["entries"]) if gathered["entries"] else None,
        "patch": None,
    }


def _collect_tree(root: str, secrets: _Secrets, limits) -> dict:
    """A work tree. It may be written to meanwhile: it is read until two readings agree."""
    commit = _line(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], root)
    others = ["ls-files", "-z", "--others", "--exclude-standard"]
    if commit is None:
        paths = _paths(_git_or_raise(["ls-files", "-z", "--cached"], root))
        paths += _paths(_git_or_raise(others, root))
        return _finish(_gather(root, paths, secrets, limits), [])
    for _ in range(3):
        names, patch, left_out = _changes(root, secrets, limits["patch_bytes"])
        left = {one["path"] for one in left_out}
        files, modules = [], []
        for path in _paths(_git_or_raise(["ls-files", "-z", "--cached"], root)):
            file = os.path.join(root, path)
            try:
                status = os.lstat(file)
            except OSError:
                continue
            if stat.S_ISLNK(status.st_mode):
                found = (path, "120000", _digest(os.fsencode(os.readlink(file))))
            elif stat.S_ISREG(status.st_mode):
                found = (path, _mode(status), _digest_file(file))
            else:
                modules.append({"path": path, "reason": "a submodule"})
                continue
            if path not in left:
                files.append(found)
        gathered = _gather(root, _paths(_git_or_raise(others, root)), secrets, limits)
        if _changes(root, secrets, limits["patch_bytes"])[1] != patch:
            continue
        dirty = bool(names or gathered["untracked"] or gathered["withheld"])
        gathered["withheld"] = gathered["withheld"] + left_out + modules
        branch = _line(["symbolic-ref", "--quiet", "--short", "HEAD"], root)
        remote = _line(["config", "--get", "remote.origin.url"], root)
        git = {
            "commit": commit,
            **({} if branch is None else {"branch": branch}),
            **({} if remote is None else {"remote": _without_user(remote)}),
            "dirty": dirty,
        }
        return {**_finish(gathered, files), "git": git, "patch": patch or None}
    raise CaptureError(f"{root} changes faster than it can be read: stop what writes to it")


def _lockfiles(root: str, below: str) -> list[dict]:
    found = []
    for place in dict.fromkeys(["", below]):
        for name in _LOCKFILES:
            path = f"{place}/{name}" if place else name
            file = os.path.join(root, path)
            if os.path.isfile(file):
                found.append({"path": path, "digest": _digest_file(file)})
    return found


def _packages() -> dict[str, str]:
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found[name] = distribution.version
    return dict(sorted(found.items()))


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _devices() -> list[dict]:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(",", 1) for line in listed.splitlines() if "," in line]
    return [
        {"id": f"cuda:{index.strip()}", "kind": "cuda", "name": name.strip()} for index, name in rows
    ]


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    kernel = getattr(shell, "get_ipython", lambda: None)() if shell else None
    return kernel is not None


def _script() -> str | None:
    """The script this process runs; none in a notebook or an interpreter."""
    if _in_notebook():
        return None
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    return os.path.abspath(script) if script and os.path.isfile(script) else None


def _cells(secrets: _Secrets) -> bytes | None:
    """The cells a notebook has run so far; none where they hold a secret."""
    shell = sys.modules.get("IPython")
    kernel = getattr(shell, "get_ipython", lambda: None)() if shell else None
    cells = [cell for cell in (kernel.user_ns.get("In", []) if kernel else []) if cell]
    text = "\n\n".join(f"# %%\n{cell}" for cell in cells).encode()
    return None if not text or secrets.is_in(text) else text


def _datasets(given) -> list[dict]:
    found = []
    for dataset in given:
        uri = dataset["uri"]
        if "digest" not in dataset and uri.startswith("file:"):
            path = urllib.request.url2pathname(urllib.parse.urlsplit(uri).path)
            if os.path.isfile(path):
                dataset = {**dataset, "digest": _digest_file(path)}
        found.append(dataset)
    return found


def _collect(directory, seeds, datasets, env, limits) -> tuple[dict, dict[str, bytes]]:
    limits = {**_LIMITS, **(limits or {})}
    secrets = _Secrets(os.environ)
    directory = os.path.realpath(directory or os.getcwd())
    script = _script()
    root = _line(["rev-parse", "--show-toplevel"], directory)
    if root is None:
        inside = script is not None and os.path.realpath(script).startswith(directory + os.sep)
        own = [os.path.relpath(os.path.realpath(script), directory)] if inside else []
        tree = _finish(_gather(directory, own, secrets, limits), [])
        below = ""
    else:
        root = os.path.realpath(root)
        tree = _collect_tree(root, secrets, limits)
        below = "" if directory == root else os.path.relpath(directory, root).replace(os.sep, "/")
    patch, archive = tree.pop("patch"), tree.pop("archive")
    command: list[str] = []
    if script is not None:
        shown = os.path.relpath(os.path.realpath(script), directory)
        shown = os.path.basename(script) if shown.startswith("..") else shown.replace(os.sep, "/")
        command = secrets.redact_arguments([shown, *sys.argv[1:]])
    now = datetime.datetime.now(datetime.timezone.utc)
    source = {
        "format": "ashlar.source/1",
        "captured": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **tree,
        **({} if patch is None else {"patch": {"digest": _digest(patch), "size": len(patch)}}),
        **({} if archive is None else {"archive": {"digest": _digest(archive), "size": len(archive)}}),
        "lockfiles": _lockfiles(root or directory, below),
        "runtime": {
            "name": "python",
            "version": platform.python_version(),
            "packages": _packages(),
        },
        "machine": {
            "os": platform.system(),
            "release": platform.release(),
            "arch": platform.machine(),
            "cpu": _processor(),
            "cores": os.cpu_count() or 0,
            "memoryBytes": _memory(),
            "devices": _devices(),
        },
        "command": command,
        "directory": below,
        "env": secrets.redact_environment(os.environ, set(env)),
        "seeds": dict(seeds or {}),
        "datasets": _datasets(datasets),
    }
    files = {
        "source.json": json.dumps(source, ensure_ascii=False).encode(),
        "source.patch": patch,
        "untracked.tar": archive,
        "cells.py": _cells(secrets) if script is None else None,
    }
    return source, {name: content for name, content in files.items() if content is not None}


def _tags(source: dict) -> dict[str, str]:
    git = source.get("git", {})
    notebook = not source["command"]
    tags = {
        "mlflow.source.type": "NOTEBOOK" if notebook else "LOCAL",
        "mlflow.source.name": "notebook" if notebook else source["command"][0],
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.git.branch": git.get("branch"),
        "mlflow.source.git.repoURL": git.get("remote"),
        "ashlar.source.tree": source["tree"]["digest"],
        "ashlar.reproduces": os.environ.get("ASHLAR_REPRODUCE"),
    }
    return {name: value for name, value in tags.items() if value is not None}


def capture(run_id=None, *, directory=None, seeds=None, datasets=(), env=(), limits=None, client=None):
    """Stores what this process runs from with a run, and returns it.

    run_id: default the active run. directory: default the working directory, whose git work tree is
    captured. seeds: integers by name. datasets: dicts with ``name``, ``uri`` and maybe ``digest``
    (``file:`` URIs get one) and ``rows``. env: more variables to record. limits: ``patch_bytes``,
    ``file_bytes``, ``total_bytes``, ``files``. client: an ``mlflow.MlflowClient``.

    Raises CaptureError when there is no run, or the tree cannot be read.
    """
    import mlflow

    if run_id is None:
        active = mlflow.active_run()
        if active is None:
            raise CaptureError("no run is active: call mlflow.start_run() first, or give run_id")
        run_id = active.info.run_id
    client = client or mlflow.MlflowClient()
    source, files = _collect(directory, seeds, datasets, env, limits)
    with tempfile.TemporaryDirectory(prefix="ashlar-source-") as folder:
        for name, content in files.items():
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(content)
            client.log_artifact(run_id, path, "ashlar")
    for name, value in _tags(source).items():
        client.set_tag(run_id, name, value)
    return source
