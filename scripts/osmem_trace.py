"""ptrace(2), as far as looking at a process takes it: a snapshot of one that runs, and a command
that is held at its end. Standard library only.

A thread is interrupted for as long as fork() takes. What it waits in goes on by itself, or
returns EINTR where the kernel has it so (epoll_wait), as under strace -p.
"""

import ctypes
import os
import platform
import signal

CONT, SINGLESTEP, DETACH = 7, 9, 17
SETOPTIONS, GETEVENTMSG, GETREGSET, SETREGSET = 0x4200, 0x4201, 0x4204, 0x4205
SEIZE, INTERRUPT, LISTEN, GETSIGMASK, SETSIGMASK = 0x4206, 0x4207, 0x4208, 0x420a, 0x420b
O_TRACECLONE, O_TRACEEXEC, O_TRACEEXIT, O_EXITKILL = 8, 16, 64, 1 << 20
EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_STOP = 3, 4, 6, 128
STOPS = signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU
NT_PRSTATUS, NT_ARM_TLS = 1, 0x401
WALL = 0x40000000

# Where in the machine's registers, in words, each stands; None: elsewhere, or nowhere.
MACHINES = {"x86_64": {"sp": 19, "tp": 21, "call": 15, "exit": 60, "count": 27},
            "aarch64": {"sp": 31, "tp": None, "call": 8, "exit": 93, "count": 34}}
MACHINE = MACHINES.get(platform.machine())
X86 = {"r10": 7, "r8": 9, "rax": 10, "rdx": 12, "rsi": 13, "rdi": 14, "orig_rax": 15, "rip": 16}
WORD = (1 << 64) - 1

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


# ---- a snapshot -------------------------------------------------------------------------

class Unforkable(Exception):
    """Why no snapshot of a process can be had; it goes on as it was."""


class Snapshot:
    """A process as it is at one moment: a copy of it, made as fork() makes one, that never runs, and
    the registers that all of its threads had then. They stand still for as long as fork()
    takes, and not at all for what is done with the copy.

    One of the threads is led to make the copy: to a `syscall` instruction in the vDSO, with
    registers for it, and back. The copy is no child that wait() or SIGCHLD would tell of; in the
    end the thread is led to reap it. If this process is killed meanwhile, so is the copy.
    """

    CLONE, WAIT4 = 56, 61

    def __init__(self, pid):
        self.target, self.pid, self.registers = pid, None, []
        if platform.machine() != "x86_64":
            raise Unforkable("made on x86-64 only")
        with open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        if fields.get("Seccomp", "0").strip() != "0":
            raise Unforkable("a filter of its system calls (seccomp) may forbid it")
        self.gate = find_gate(pid)
        # A signal to us must not leave a thread half way.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        stopped = []
        try:
            stopped = stop_threads(pid)
            self.registers = [each for each in map(registers, stopped) if each]
            self.pid = self.led(stopped, self.CLONE, self.take_copy)
        finally:
            for tid, found in stopped.items():
                ptrace(DETACH, tid, 0, found.signal)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if self.pid is None or self.pid <= 0:
            raise Unforkable(f"fork: {os.strerror(-(self.pid or -1))}")

    def led(self, stopped, call, on_clone, *arguments):
        """What the call returns, made by a thread that waits in the kernel, if there is one."""
        def in_a_call(tid):
            words = regset(tid, NT_PRSTATUS, MACHINE["count"])
            return words and words[MACHINE["call"]] < 1 << 63
        tid = next(filter(in_a_call, stopped), next(iter(stopped), None))
        if tid is None:
            raise Unforkable("no thread of it can be stopped: is it traced by a debugger?")
        before = regset(tid, NT_PRSTATUS, MACHINE["count"])
        mask = ctypes.c_uint64()
        ptrace(GETSIGMASK, tid, 8, ctypes.addressof(mask))
        ptrace(SETSIGMASK, tid, 8, ctypes.addressof(ctypes.c_uint64((1 << 64) - 1)))
        try:
            words = list(before)
            for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8"), (*arguments, 0, 0, 0, 0, 0)):
                words[X86[name]] = value
            words[X86["rax"]], words[X86["rip"]], words[X86["orig_rax"]] = call, self.gate, WORD
            set_registers(tid, words)
            self.step(tid, stopped[tid], on_clone)
            result = ctypes.c_int64(regset(tid, NT_PRSTATUS, MACHINE["count"])[X86["rax"]]).value
        finally:
            set_registers(tid, before)
            ptrace(SETSIGMASK, tid, 8, ctypes.addressof(mask))
        return result

    def step(self, tid, stop, on_clone):
        """Over the one instruction. A signal that comes meanwhile (SIGSTOP) is handed over afterwards."""
        while True:
            ptrace(SINGLESTEP, tid)
            _, status = os.waitpid(tid, WALL)
            if not os.WIFSTOPPED(status):
                raise Unforkable("it ended just now")
            if status >> 16 == EVENT_CLONE:
                on_clone(tid)
            elif os.WSTOPSIG(status) == signal.SIGTRAP:
                return
            elif not status >> 16:
                stop.signal = os.WSTOPSIG(status)

    def take_copy(self, tid):
        made = ctypes.c_ulong()
        ptrace(GETEVENTMSG, tid, 0, ctypes.addressof(made))
        os.waitpid(made.value, WALL)
        ptrace(SETOPTIONS, made.value, 0, O_EXITKILL)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, WALL)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        stopped = {}
        try:
            stopped = stop_threads(self.target, one=True)
            self.led(stopped, self.WAIT4, None, self.pid, 0, os.WNOHANG | WALL)
        except (OSError, Unforkable):
            pass  # it has ended
        finally:
            for tid, found in stopped.items():
                ptrace(DETACH, tid, 0, found.signal)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Stop:
    signal = 0  # that was on its way to the thread, and is handed over when it goes on


def stop_threads(pid, one=False):
    """All of its threads (or one) stand still: {tid: Stop}. Those that are born meanwhile, too."""
    stopped, failed = {}, set()
    while True:
        tids = {int(tid) for tid in os.listdir(f"/proc/{pid}/task")} - stopped.keys() - failed
        if not tids or one and stopped:
            return stopped
        for tid in sorted(tids)[:1] if one else tids:
            if ptrace(SEIZE, tid, 0, O_TRACECLONE) and ptrace(INTERRUPT, tid):
                _, status = os.waitpid(tid, WALL)
                if os.WIFSTOPPED(status):
                    stopped[tid] = Stop()
                    stopped[tid].signal = signal_to_hand_over(status)
                    continue
            failed.add(tid)  # gone, or traced by a debugger already


def find_gate(pid):
    """The address of a `syscall` instruction."""
    with open(f"/proc/{pid}/maps") as maps:
        line = next((line for line in maps if line.rstrip().endswith("[vdso]")), None)
    if line:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(start)
            at = memory.read(end - start).find(b"\x0f\x05")
        if at >= 0:
            return start + at
    raise Unforkable("it has no vDSO")


def set_registers(tid, words):
    buffer = (ctypes.c_uint64 * len(words))(*words)
    vec = IoVec(ctypes.addressof(buffer), ctypes.sizeof(buffer))
    return ptrace(SETREGSET, tid, NT_PRSTATUS, ctypes.addressof(vec))


# ---- a command --------------------------------------------------------------------------

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
        self.threads, self.held, self.status, self.has_begun = {self.pid}, {}, None, False

    def run_to_end(self):
        """Until all its threads are in their last moment; True: its memory can be read."""
        while self.threads != self.held.keys():
            try:
                tid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return False
            if os.WIFSTOPPED(status):
                self.on_stop(tid, status)
            elif self.ended(tid, status):
                return False
        return True

    def ended(self, tid, status):
        self.threads.discard(tid)
        if tid == self.pid:
            self.status = status
        return tid == self.pid

    def on_stop(self, tid, status):
        event, by = status >> 16, os.WSTOPSIG(status)
        if event == EVENT_EXIT:
            self.held[tid] = registers(tid)
            if self.goes_on_without(tid):
                del self.held[tid]
                self.threads.discard(tid)
                ptrace(CONT, tid)
        elif event == EVENT_STOP and by in STOPS:
            ptrace(LISTEN, tid)
        elif event == EVENT_STOP and not os.path.exists(f"/proc/{self.pid}/task/{tid}"):
            ptrace(DETACH, tid)  # a process of its own
        else:
            if event == EVENT_EXEC:  # all others are gone
                self.threads, self.held, self.has_begun = {tid}, {}, True
            elif event == EVENT_CLONE:
                self.expect_thread(tid)
            ptrace(CONT, tid, 0, signal_to_hand_over(status))

    def expect_thread(self, maker):
        born = ctypes.c_ulong()
        if ptrace(GETEVENTMSG, maker, 0, ctypes.addressof(born)):
            if os.path.exists(f"/proc/{self.pid}/task/{born.value}"):
                self.threads.add(born.value)

    def goes_on_without(self, tid):
        """A thread that ends while the process goes on need not wait."""
        words = self.held[tid] and self.held[tid].words
        return bool(words and words[MACHINE["call"]] == MACHINE["exit"]
                    and self.threads - self.held.keys())

    def finish(self):
        """It ends; its status, as os.waitstatus_to_exitcode() has it."""
        for tid in self.held:
            ptrace(CONT, tid)
        while self.status is None:
            tid, status = os.waitpid(-1, WALL)
            if os.WIFSTOPPED(status):
                ptrace(CONT, tid, 0, signal_to_hand_over(status))
            else:
                self.ended(tid, status)
        return os.waitstatus_to_exitcode(self.status)
