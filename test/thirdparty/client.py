"""A client in Python's standard library alone, written from docs/api.md and docs/openapi.json.

client.py run IMAGE [--stdin] [--retries N] -- ARGV   puts the image, runs the command, prints its output; exits with its exit code
client.py start IMAGE -- ARGV                         starts the command and prints the number of the job
client.py show|cancel|attempts|wait|events|logs ID    prints what the API answers
client.py token NAME SCOPE…                           makes an access token of one's own and prints its secret
"""

import base64
import hashlib
import json
import os
import sys
import urllib.error
import urllib.request

URL = os.environ['FUMEHOOD_URL']


def ask(method, path, body=None, content_type='application/json', headers=None):
    """Sends a request and returns the open answer."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    sent = {'Authorization': 'token ' + os.environ['FUMEHOOD_TOKEN'], **(headers or {})}
    if body is not None:
        sent['Content-Type'] = content_type
    return urllib.request.urlopen(urllib.request.Request(URL + path, body, sent, method=method))


def ask_json(*args, **more):
    with ask(*args, **more) as answer:
        return json.load(answer)


def put_image(file):
    with open(file, 'rb') as image:
        content = image.read()
    digest = 'sha256:' + hashlib.sha256(content).hexdigest()
    try:
        ask('HEAD', f'/api/blobs/{digest}').close()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        ask('PUT', f'/api/blobs/{digest}', content, 'application/octet-stream').close()
    return digest


def create(image, argv, stdin=False, retries=0):
    job = {
        'queue': 'runs',
        'image': put_image(image),
        'argv': argv,
        'stdin': stdin,
        'accept': ['container'],
        'memoryMiB': 256,
        'scratchMiB': 64,
        'maxRetries': retries,
        'retryPauseMs': 100,
    }
    key = hashlib.sha256(os.urandom(16)).hexdigest()
    first = ask_json('POST', '/api/jobs', job, headers={'Idempotency-Key': key})
    again = ask_json('POST', '/api/jobs', job, headers={'Idempotency-Key': key})
    assert first['id'] == again['id'], 'the same key made a second job'
    return first['id']


def send_input(job, stream):
    offset = 0
    while data := stream.read(65536):
        path = f'/api/jobs/{job}/input?offset={offset}'
        answer = ask_json('POST', path, data, 'application/octet-stream')
        offset = answer['offset']
    path = f'/api/jobs/{job}/input?offset={offset}&end=true'
    ask('POST', path, b'', 'application/octet-stream').close()


def copy_logs(job, follow):
    path = f"/api/jobs/{job}/logs{'?follow' if follow else ''}"
    with ask('GET', path) as answer:
        while data := answer.read1(65536):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def events(job):
    """Yields the events of a job until it has ended."""
    with ask('GET', f'/api/jobs/{job}/events') as answer:
        for line in answer:
            if line.startswith(b'data: '):
                yield json.loads(line[6:])


def show(job, what=''):
    return ask_json('GET', f'/api/jobs/{job}{what}')


def run(image, argv, stdin, retries):
    job = create(image, argv, stdin, retries)
    if stdin:
        send_input(job, sys.stdin.buffer)
    copy_logs(job, follow=True)
    record = show(job)
    print(json.dumps(record), file=sys.stderr)
    return record['exitCode'] if record['exitCode'] is not None else 125


def main(command, *args):
    if command in ('run', 'start'):
        at = args.index('--')
        options, argv = list(args[:at]), list(args[at + 1 :])
        if command == 'start':
            print(create(options[0], argv))
            return 0
        retries = int(options[options.index('--retries') + 1]) if '--retries' in options else 0
        return run(options[0], argv, '--stdin' in options, retries)
    if command == 'show':
        print(json.dumps(show(args[0])))
    elif command == 'attempts':
        print(json.dumps(show(args[0], '/attempts')['attempts']))
    elif command == 'cancel':
        ask('POST', f'/api/jobs/{args[0]}/cancel').close()
    elif command == 'logs':
        copy_logs(args[0], follow=False)
    elif command == 'wait':
        last = [event['job'] for event in events(args[0]) if event['type'] == 'job'][-1]
        print(json.dumps(last))
    elif command == 'events':
        for event in events(args[0]):
            data = base64.b64decode(event['data']).decode() if event['type'] == 'output' else ''
            print(event['type'], data.strip())
    elif command == 'token':
        body = {'name': args[0], 'scopes': list(args[1:])}
        print(ask_json('POST', '/api/access/tokens', body)['secret'])
    return 0


sys.exit(main(*sys.argv[1:]))
