"""What a linter says of the service's Lua: `python -m tests.lua.lint`.

It reads Lua with luaparser, as no linter of Lua comes as a package for Python, and reports names that nothing defines,
assignments to globals, names that hide others, what nobody uses, and members that a required module does not have.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from luaparser import ast
from luaparser.astnodes import (
    AnonymousFunction,
    Assign,
    Block,
    Call,
    ElseIf,
    Field,
    Forin,
    Fornum,
    Function,
    If,
    Index,
    IndexNotation,
    Invoke,
    LocalAssign,
    LocalFunction,
    Method,
    Name,
    Node,
    Repeat,
    String,
    Varargs,
)

FOLDER = Path(str(files("conversations.store") / "lua"))

# What functions of a library may use, of https://redis.io/docs/latest/develop/programmability/lua-api/.
GLOBALS = frozenset(
    "assert error ipairs next os pairs pcall select setmetatable tonumber tostring type unpack "
    "math string table cjson cmsgpack redis require VERSION".split()
)
_LONGEST_LINE = 120


@dataclass
class _Local:
    name: str
    line: int
    is_used: bool = False
    module: str = ""
    """Which module it is, where it was required."""


@dataclass
class Linter:
    """Walks one file."""

    modules: Mapping[str, frozenset[str]]
    """Members of each module that may be required."""
    found: list[tuple[int, str]] = field(default_factory=list)
    _scopes: list[list[_Local]] = field(default_factory=list)
    _line: int = 1

    def block(self, body: Node, names: Iterable[Node] = (), after: Node | None = None) -> None:
        """Look at a block with names of its own; `after` sees its locals too."""
        self._scopes.append([])
        for name in names:
            if not isinstance(name, Varargs):
                self._declare(name.id)
        self._visit(body)
        self._visit(after)
        for local in self._scopes.pop():
            if not local.is_used and local.name != "_":
                self.found.append((local.line, f"{local.name} is not used"))

    def _declare(self, name: str, module: str = "") -> None:
        if name != "_" and (name in GLOBALS or self._find(name)):
            self._report(f"{name} hides another one")
        self._scopes[-1].append(_Local(name, self._line, module=module))

    def _find(self, name: str) -> _Local | None:
        return next((one for scope in reversed(self._scopes) for one in reversed(scope) if one.name == name), None)

    def _report(self, what: str) -> None:
        self.found.append((self._line, what))

    def _visit(self, node: object) -> None:
        """Look at a node and what is in it, in the order in which names come to be."""
        if isinstance(node, list):
            for item in node:
                self._visit(item)
        if not isinstance(node, Node):
            return
        self._line = node.line or self._line
        match node:
            case Block():
                self._visit(node.body)
            case LocalAssign():
                self._visit(node.values)
                for number, target in enumerate(node.targets):
                    value = node.values[number] if number < len(node.values) else None
                    self._declare(target.id, _required(value))
            case LocalFunction():
                self._declare(node.name.id)
                self.block(node.body, node.args)
            case Function() | Method():
                self._visit(getattr(node, "source", None))
                if isinstance(node.name, Name) and not self._find(node.name.id):
                    self._report(f"{node.name.id} becomes a global")
                elif isinstance(node, Function):
                    self._visit(node.name if isinstance(node.name, Name) else node.name.value)
                self.block(node.body, node.args)
            case AnonymousFunction():
                self.block(node.body, node.args)
            case Forin():
                self._visit(node.iter)
                self.block(node.body, node.targets)
            case Fornum():
                self._visit([node.start, node.stop, node.step])
                self.block(node.body, [node.target])
            case Repeat():
                self.block(node.body, after=node.test)
            case If() | ElseIf():
                self._visit(node.test)
                self.block(node.body)
                if isinstance(node.orelse, Block):
                    self.block(node.orelse)
                else:
                    self._visit(node.orelse)
            case Assign():
                self._visit(node.values)
                for target in node.targets:
                    if not isinstance(target, Name):
                        self._visit(target)
                    elif not self._find(target.id):
                        self._report(f"{target.id} becomes a global")
            case Index():
                self._member(node)
            case Invoke():
                self._visit([node.source, node.args])
            case Field():
                if node.between_brackets:
                    self._visit(node.key)
                self._visit(node.value)
            case Name():
                self._use(node.id)
            case _ if type(node).__name__ in ("While", "Do"):
                self._visit(getattr(node, "test", None))
                self.block(node.body)
            case _:
                for name, value in vars(node).items():
                    if not name.startswith("_") and name != "comments":
                        self._visit(value)

    def _use(self, name: str) -> _Local | None:
        local = self._find(name)
        if local is not None:
            local.is_used = True
        elif name not in GLOBALS:
            self._report(f"{name} is not defined")
        return local

    def _member(self, node: Index) -> None:
        if node.notation != IndexNotation.DOT:
            self._visit(node.idx)
        if not isinstance(node.value, Name):
            self._visit(node.value)
            return
        local = self._use(node.value.id)
        if local and local.module and node.notation == IndexNotation.DOT:
            members = self.modules.get(local.module)
            if members is not None and node.idx.id not in members:
                self._report(f"{local.module} has no {node.idx.id}")


def _required(value: Node | None) -> str:
    """Return the name of the module that an expression requires; empty where it is another expression."""
    if isinstance(value, Call) and isinstance(value.func, Name) and value.func.id == "require":
        argument = value.args[0]
        return argument.s.decode() if isinstance(argument, String) else ""
    return ""


def members_of(code: str, name: str) -> frozenset[str]:
    """Return the members that a module defines at its top."""
    members = set()
    for statement in ast.parse(code).body.body:
        targets: Sequence[Node] = ()
        if isinstance(statement, Function):
            targets = [statement.name]
        elif isinstance(statement, Assign):
            targets = statement.targets
        members |= {t.idx.id for t in targets if isinstance(t, Index) and getattr(t.value, "id", "") == name}
    return frozenset(members)


def lint(code: str, modules: Mapping[str, frozenset[str]]) -> list[tuple[int, str]]:
    """Return line and sentence for each thing that is wrong with a file."""
    linter = Linter(modules)
    linter.block(ast.parse(code).body)
    for number, line in enumerate(code.splitlines(), 1):
        if len(line) > _LONGEST_LINE or line != line.rstrip():
            linter.found.append((number, "the line is too long, or ends with a blank"))
    return sorted(linter.found)


def lint_folder(folder: Path) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with the files of a folder, whose modules lie in `lib`."""
    modules = {path.stem: members_of(path.read_text("utf-8"), path.stem) for path in folder.glob("lib/*.lua")}
    for path in sorted(folder.rglob("*.lua")):
        for line, what in lint(path.read_text("utf-8"), modules):
            yield f"{path}:{line}: {what}"


if __name__ == "__main__":
    sentences = list(lint_folder(FOLDER))
    print(*sentences, sep="\n", end="\n" if sentences else "")
    sys.exit(bool(sentences))
