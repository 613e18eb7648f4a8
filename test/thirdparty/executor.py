"""An executor in Python's standard library alone, written from docs/protocol-native.md.

It runs commands as plain processes, without any isolation: only for the test beside this file.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ['FUMEHOOD_URL']
NAME = os.environ['EXECUTOR_NAME']
OWN = {
    'Authorization': 'token-executor ' + os.environ['EXECUTOR_CREDENTIAL'],
    'x-fumehood-protocol': '3',
}
MACHINE = hashlib.sha256((open('/proc/sys/kernel/random/boot_id').read() + os.getcwd()).encode()).hexdigest()
TIERS = ['container']
ROOM = {'cpus': 2, 'memoryMiB': 4096, 'scratchMiB': 8192}
SLOTS = 2
UNSUPPORTED = ['workspace', 'artifacts', 'terminal', 'secrets', 'broker', 'upload']


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f'{status} {text}')
        self.status, self.text = status, text


def note(text):
    print(text, file=sys.stderr, flush=True)


def now():
    """A clock that continues while the machine sleeps (section 3)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ask(method, path, headers, body=None, timeout=60):
    """Sends one request; returns status, headers and bytes. Raises Refused, or OSError without an answer."""
    if isinstance(body, (dict, list)):
        body, headers = json.dumps(body).encode(), {**headers, 'Content-Type': 'application/json'}
    request = urllib.request.Request(f'{URL}/.executors/{path}', body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(error.code, error.read().decode(errors='replace')) from None


class Held:
    """A leased job, and its lease as this executor counts it."""

    def __init__(self, job):
        self.job = job
        self.lease = job['fumehood']['leaseMs'] / 1000
        self.deadline = now() + self.lease - 2
        self.confirmed = threading.Event()
        self.over = threading.Event()  # lost or canceled: nothing more is sent for it
        self.process = None

    def end(self):
        self.over.set()
        self.confirmed.set()
        self.kill()

    def kill(self):
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def ask(self, method, operation, body=None, expected=(200, 204)):
        """A request on a route of the job (section 5), repeated while no answer comes and the lease lasts."""
        headers = {
            'Authorization': 'Bearer ' + self.job['token'],
            'x-sourcegraph-job-id': str(self.job['id']),
            'x-sourcegraph-executor-name': NAME,
        }
        if isinstance(body, dict):
            body = {'executorName': NAME, 'jobId': self.job['id'], **body}
        pause = 0.1
        while not self.over.is_set():
            try:
                return ask(method, f"queue/{self.job['queue']}/{operation}", headers, body)
            except Refused as refusal:
                if refusal.status in expected:
                    return refusal.status, {}, b''
                if refusal.status == 401 or 'unknown job' in refusal.text:
                    self.end()  # section 6: the lease is over
                elif refusal.status not in (429, 502, 503, 504):
                    raise
            except OSError:
                pass
            self.over.wait(pause)
            pause = min(2 * pause, 2)
        raise Refused(401, 'the lease is over')


held = {}
draining = threading.Event()
stopping = threading.Event()


def beat():
    """Section 3: names every job, renews the leases of those that the answer knows, and ends the others."""
    asked, sent = list(held.values()), now()
    queues = sorted({one.job['queue'] for one in asked} | {'runs'})
    body = {
        'executorName': NAME,
        'executorVersion': '0.1.0',
        'queueNames': queues,
        'jobIdsByQueue': [
            {'queueName': queue, 'jobIds': [str(one.job['id']) for one in asked if one.job['queue'] == queue]}
            for queue in queues
        ],
        'fumehood': {
            'tiers': TIERS,
            'machine': MACHINE,
            'leases': [{'jobId': one.job['id'], 'attempt': one.job['fumehood']['attempt']} for one in asked],
        },
    }
    answer = json.loads(ask('POST', 'queue/heartbeat', OWN, body, timeout=4)[2])
    (draining.set if answer['fumehood']['draining'] else draining.clear)()
    for one in asked:
        name = f"{one.job['id']}-{one.job['queue']}"
        if name not in answer['knownIds'] or name in answer['cancelIds']:
            one.end()
        elif now() < sent + one.lease - 2:
            one.deadline = sent + one.lease - 2
            one.confirmed.set()


def keep_beating():
    while not stopping.wait(2):
        try_beat()


def try_beat():
    try:
        beat()
    except (OSError, Refused) as error:
        note(f'heartbeat: {error}')
    for one in list(held.values()):
        if now() >= one.deadline:
            one.end()


def lease():
    """Section 2. Returns a job, or None."""
    body = {
        'executorName': NAME,
        'version': '0.1.0',
        'queues': ['runs'],
        'fumehood': {
            'tiers': TIERS,
            'arch': 'x64',
            'machine': MACHINE,
            'total': ROOM,
            'freeCpus': ROOM['cpus'],
            'freeMemoryMiB': ROOM['memoryMiB'],
            'freeScratchMiB': ROOM['scratchMiB'],
            'waitMs': 2000,
        },
    }
    status, _, content = ask('POST', 'queue/dequeue', OWN, body)
    return json.loads(content) if status == 200 else None


def pump(one, entry, name, stream):
    """Section 5.2: the output by offset."""
    offset = 0
    while data := stream.read1(65536):
        answer = one.ask('POST', f'appendLog?entry={entry}&stream={name}&offset={offset}', data)
        offset = json.loads(answer[2])['offset']


def feed(one, stream):
    """Section 5.3: stdin from the instance."""
    offset, ended = 0, False
    try:
        while not ended:
            _, headers, data = one.ask('GET', f'input?offset={offset}&waitMs=2000')
            stream.write(data)
            stream.flush()
            offset += len(data)
            ended = headers.get('x-fumehood-input-end') == 'true'
        stream.close()
    except (OSError, ValueError, Refused):
        pass  # the command reads no more, or the lease is over


def fetch_image(one, digest):
    """Section 5.4. This executor has no use for the image; it only checks it."""
    content = one.ask('GET', f'blob/{digest}')[2]
    if 'sha256:' + hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f'{digest} arrived damaged')


def run_step(one, step, directory):
    """Runs one step; returns its exit code and the last bytes of its stderr."""
    started = time.gmtime()
    facts = {
        'key': 'step.docker.0',
        'command': step['argv'],
        'startTime': time.strftime('%Y-%m-%dT%H:%M:%SZ', started),
    }
    entry = int(one.ask('POST', 'addExecutionLogEntry', {**facts, 'fumehood': {'entry': 1}})[2])
    errors = open(os.path.join(directory, 'stderr'), 'w+b')
    wants_input = one.job['fumehood']['stdin']
    one.process = subprocess.Popen(
        step['argv'],
        cwd=directory,
        env=dict(pair.split('=', 1) for pair in ['PATH=' + os.environ['PATH'], *(step.get('env') or [])]),
        stdin=subprocess.PIPE if wants_input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )
    if one.over.is_set():
        one.kill()
    if wants_input:
        threading.Thread(target=feed, args=(one, one.process.stdin), daemon=True).start()
    pump(one, entry, 'stdout', one.process.stdout)
    code = one.process.wait()
    errors.seek(0)
    pump(one, entry, 'stderr', errors)
    code = 128 - code if code < 0 else code
    one.ask('POST', 'updateExecutionLogEntry', {**facts, 'entryId': entry, 'exitCode': code})
    errors.seek(0)
    return code, errors.read()[-1000:]


def run(job):
    one = held[job['id']] = Held(job)
    directory = tempfile.mkdtemp()
    try:
        try_beat()  # nothing starts before the lease is confirmed
        while not one.confirmed.wait(0.2) and now() < one.deadline:
            pass
        if one.over.is_set() or not one.confirmed.is_set():
            return
        if not set(job['fumehood']['accept']) & set(TIERS):
            one.ask('POST', 'markFailed', {'errorMessage': 'no tier of this executor', 'reason': 'job_refused'})
            return
        unsupported = [field for field in UNSUPPORTED if job['fumehood'].get(field)]
        if unsupported:
            message = 'this executor has no ' + ', '.join(unsupported)
            one.ask('POST', 'markFailed', {'errorMessage': message, 'reason': 'job_refused'})
            return
        step = job['dockerSteps'][0]
        fetch_image(one, step['image'].removeprefix('blob:'))
        code, tail = run_step(one, step, directory)
        one.ask('POST', 'result', {'tier': 'container', 'exitCode': code})
        if code == 0:
            one.ask('POST', 'markComplete', {}, (204, 404))
        else:
            message = f'the command ended with {code}\n' + tail.decode(errors='surrogateescape')
            one.ask('POST', 'markFailed', {'errorMessage': message, 'reason': 'step_failed'}, (204, 404))
    except Exception as error:
        note(f"job {job['id']}: {error}")
        if not one.over.is_set():
            reason = {'errorMessage': str(error), 'reason': 'internal'}
            one.ask('POST', 'markErrored', reason, (204, 401, 404))
    finally:
        one.kill()
        shutil.rmtree(directory, ignore_errors=True)
        del held[job['id']]
        try_beat()  # a canceled job ends with the heartbeat that does not name it


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try_beat()
    note('started')
    threading.Thread(target=keep_beating, daemon=True).start()
    while not stopping.is_set():
        if draining.is_set() or len(held) >= SLOTS:
            stopping.wait(0.2)
            continue
        try:
            job = lease()
        except (OSError, Refused) as error:
            note(f'lease: {error}')
            stopping.wait(1)
            continue
        if job:
            note(f"job {job['id']} attempt {job['fumehood']['attempt']}")
            threading.Thread(target=run, args=(job,)).start()
            time.sleep(0.05)


main()
