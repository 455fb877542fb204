# SPDX-License-Identifier: MIT
"""ptrace(2), as far as looking at a process takes it: the registers of its threads, and a command
that is held at its end. Standard library only.

A thread whose registers are read is interrupted for a moment. What it waits in goes on by
itself, or returns EINTR where the kernel has it so, as under strace -p.

Nothing is ever written to a thread. (A copy of the process, which one of its threads was led to
make by fork(), would be of one moment. But a tool that is killed meanwhile leaves a thread
half way, the copy keeps descriptors and locks, and its pages are copied as the process
goes on: programs that were looked at so died of it.)
"""

import ctypes
import os
import platform
import re
import select
import signal
import struct
import time

CONT, DETACH = 7, 17
GETEVENTMSG, GETREGSET, SEIZE, INTERRUPT, LISTEN = 0x4201, 0x4204, 0x4206, 0x4207, 0x4208
O_TRACECLONE, O_TRACEEXEC, O_TRACEEXIT = 8, 16, 64
EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_STOP = 3, 4, 6, 128
STOPS = signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU
NT_PRSTATUS, NT_ARM_TLS, NT_ARM_SYSTEM_CALL = 1, 0x401, 0x404
WALL = 0x40000000

# Where in the machine's registers, in words, each stands; None: in a set of its own.
MACHINES = {"x86_64": {"sp": 19, "tp": 21, "call": 15, "exit": 60, "count": 27},
            "aarch64": {"sp": 31, "tp": None, "call": None, "exit": 93, "count": 34}}
MACHINE = MACHINES.get(platform.machine())
RECORD = 2 + MACHINE["count"] if MACHINE else 2

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_ulong] * 4


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Registers:
    """Of one thread: all words, stack pointer, thread pointer (0: not known)."""

    def __init__(self, words, sp=None, tp=None):
        self.words = words
        self.sp = words[MACHINE["sp"]] if sp is None else sp
        self.tp = (words[MACHINE["tp"]] if MACHINE["tp"] is not None else 0) if tp is None else tp


def registers_in_core(core):
    """Of each thread of the process that it is of."""
    if not MACHINE:
        return []
    return [Registers(words) for words in core.thread_words() if len(words) >= MACHINE["count"]]


def ptrace(request, tid, address=0, data=0):
    """False: no such thread any more, or it is not stopped."""
    return libc.ptrace(request, tid, address, data) != -1


def regset(tid, kind, words):
    buffer = (ctypes.c_uint64 * words)()
    vec = IoVec(ctypes.addressof(buffer), ctypes.sizeof(buffer))
    return list(buffer) if ptrace(GETREGSET, tid, kind, ctypes.addressof(vec)) else None


def registers(tid):
    """Of a stopped thread."""
    words = MACHINE and regset(tid, NT_PRSTATUS, MACHINE["count"])
    if not words:
        return None
    tls = regset(tid, NT_ARM_TLS, 1) if MACHINE["tp"] is None else None
    return Registers(words, tp=tls[0] if tls else None)


def signal_to_hand_over(status):
    """A stop that was a signal's on its way: that signal; else 0."""
    return 0 if status >> 16 else os.WSTOPSIG(status)


# ---- the registers of a process ---------------------------------------------------------

PATIENCE_S = 2


def registers_of_process(pid):
    """Of each of its threads, as far as they can be had in that time.

    A process of our own asks for them: when that ends, however it does, the kernel lets go of
    every thread, with whatever signal was on its way to it."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(there)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for tid in map(int, os.listdir(f"/proc/{pid}/task")):
                found = registers_of_thread(tid)
                if found and found.sp:  # a worker of io_uring is in the list, too, and never runs the program
                    os.write(here, struct.pack(f"<{RECORD}Q", found.sp, found.tp, *found.words))
        finally:
            os._exit(0)
    os.close(here)
    data = read_for(there, PATIENCE_S)
    os.close(there)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return [Registers(list(words), sp, tp) for sp, tp, *words
            in struct.iter_unpack(f"<{RECORD}Q", data[:len(data) // (8 * RECORD) * 8 * RECORD])]


def read_for(descriptor, seconds):
    """All that comes until it ends, or until the time is over."""
    data, until = b"", time.monotonic() + seconds
    while select.select([descriptor], [], [], max(0, until - time.monotonic()))[0]:
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        data += part
    return data


def registers_of_thread(tid):
    """None: it has ended, or is traced by a debugger already."""
    if not MACHINE or not ptrace(SEIZE, tid) or not ptrace(INTERRUPT, tid):
        return None
    while True:
        _, status = os.waitpid(tid, WALL)
        if not os.WIFSTOPPED(status):
            return None
        if status >> 16 == EVENT_STOP:
            found = registers(tid)
            ptrace(DETACH, tid)
            return found
        ptrace(CONT, tid, 0, signal_to_hand_over(status))  # of its own; ours is yet to come


# ---- a command --------------------------------------------------------------------------

ENDING_S = 10  # without a word of those that are killed: one may wait in the kernel for who is held


def event_message(tid):
    """Of a stopped thread: who was born, or with which status it ends. None: it is not stopped any more."""
    message = ctypes.c_ulong()
    return message.value if ptrace(GETEVENTMSG, tid, 0, ctypes.addressof(message)) else None


def ends_by_itself(tid, found):
    """In exit(2), of one thread; its registers are `found`."""
    call = regset(tid, NT_ARM_SYSTEM_CALL, 1) if MACHINE["call"] is None else [found.words[MACHINE["call"]]]
    return call == [MACHINE["exit"]]


def status_of(pid, tid):
    """/proc's text of one thread; empty: it is gone."""
    try:
        with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def has_ended(status):
    return not status or re.search(r"^State:\t[ZX]", status, re.M) is not None


def is_killed(status):
    """By SIGKILL, that of a whole process that ends, too; it has not come to it yet, or is in an end of its own."""
    pending = re.search(r"^SigPnd:\t([0-9a-f]+)", status, re.M)
    return pending is not None and int(pending[1], 16) >> (signal.SIGKILL - 1) & 1 == 1


class Command:
    """A command whose process is held at its very end, its memory as it was."""

    def __init__(self, start):
        """start() never returns: it becomes the command."""
        ready, go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go)
            os.read(ready, 1)
            start()
        os.close(ready)
        if not ptrace(SEIZE, self.pid, 0, O_TRACECLONE | O_TRACEEXEC | O_TRACEEXIT):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.close(go)
        self.threads, self.last, self.held, self.registers = {self.pid}, None, None, []
        self.status, self.has_begun = None, False

    def run_to_end(self):
        """Until all of its threads are in their last moment, or past it, but `held`, by which the memory can
        be read; `registers` are those of threads that end with it. None: it is gone."""
        told = time.monotonic()
        while self.last is None or self.threads and time.monotonic() < told + ENDING_S:
            try:
                tid, status = os.waitpid(-1, WALL | (0 if self.last is None else os.WNOHANG))
            except ChildProcessError:
                return None
            if not tid:  # nobody tells of one that was in its own end already when it was killed, nor of the first while others last
                self.threads = {each for each in self.threads if not has_ended(status_of(self.pid, each))}
                time.sleep(0.001)
                continue
            told = time.monotonic()
            if os.WIFSTOPPED(status):
                self.on_stop(tid, status)
            elif self.ended(tid, status):
                return None
        self.held = self.last
        return self.held

    def ended(self, tid, status):
        self.threads.discard(tid)
        if tid == self.pid:
            self.status = status
        return tid == self.pid

    def on_stop(self, tid, status):
        event, by = status >> 16, os.WSTOPSIG(status)
        if event == EVENT_EXIT and self.is_ours(tid):
            self.on_end(tid)
        elif event == EVENT_STOP and by in STOPS:
            ptrace(LISTEN, tid)
        elif event == EVENT_STOP and not self.is_ours(tid):
            ptrace(DETACH, tid)
        else:
            if event == EVENT_EXEC:  # all others are gone
                self.threads, self.registers, self.has_begun = {tid}, [], True
            elif event == EVENT_CLONE:
                self.expect_thread(tid)
            ptrace(CONT, tid, 0, signal_to_hand_over(status))

    def on_end(self, tid):
        """Held is the last of whom the kernel tells: none while another goes on, which may wait for this one,
        by join or exec, or to write a core; of those that are killed some are never told of."""
        self.threads.discard(tid)
        found = registers(tid)
        if found and (not self.threads or not ends_by_itself(tid, found)):
            self.registers.append(found)
        is_held = self.last is not None and event_message(self.last) is not None  # a SIGKILL takes it away
        if not is_held and self.others_end():
            self.last = tid
        else:
            ptrace(CONT, tid)

    def others_end(self):
        statuses = (status_of(self.pid, each) for each in self.threads)
        return all(has_ended(status) or is_killed(status) for status in statuses)

    def is_ours(self, tid):
        """A thread of the command, not a process that it made as one makes threads."""
        return os.path.exists(f"/proc/{self.pid}/task/{tid}")

    def expect_thread(self, maker):
        born = event_message(maker)
        if born and self.is_ours(born):
            self.threads.add(born)

    def finish(self):
        """It ends; its status, as os.waitstatus_to_exitcode() has it."""
        if self.held is not None:
            ptrace(CONT, self.held)
        while self.status is None:
            tid, status = os.waitpid(-1, WALL)
            if os.WIFSTOPPED(status):
                ptrace(CONT, tid, 0, signal_to_hand_over(status))
            else:
                self.ended(tid, status)
        return os.waitstatus_to_exitcode(self.status)
