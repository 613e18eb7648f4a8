import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import type { Spawn } from '@fumehood/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { uploadIndex } from './upload.ts';

let directory: string;
let instance: Server;
/** The status that the instance answers; null: it breaks the connection; `nothing`: the client leaves before the answer. */
let status: number | null | 'nothing';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-upload-'));
  instance = createServer((_request, response) => {
    if (status === null) response.destroy();
    else if (status !== 'nothing') response.writeHead(status).end();
  });
  await once(instance.listen(0, '127.0.0.1'), 'listening');
});
afterEach(async () => {
  instance.close().closeAllConnections();
  await rm(directory, { recursive: true });
});

/** A stand-in for the sandboxed client: it sends a request through the socket, and exits with 0 only for the status 202. */
const fakeSpawn: Spawn = async () => {
  const socketPath = join(directory, 'instance.sock');
  const asked = request({ socketPath, method: 'POST', path: '/.executors/scip/upload' }).end();
  let code = 1;
  if (status === 'nothing') {
    const [arrived] = (await once(instance, 'request')) as [IncomingMessage];
    asked.on('error', () => {}).destroy();
    await new Promise((resolve) => arrived.on('error', () => {}).once('close', resolve));
    await new Promise((resolve) => setImmediate(resolve));
  } else {
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    if (answer.resume().statusCode === 202) code = 0;
  }
  const exited = Promise.resolve({ code, signal: null, timedOut: false });
  return {
    uid: 0,
    stdin: new PassThrough(),
    stdout: Readable.from([]),
    stderr: Readable.from([
      Buffer.from('error: the instance refused the index: it is none\n  Check the indexer.\n'),
    ]),
    exited,
    kill() {},
  };
};

function upload(native: boolean): Promise<void> {
  return uploadIndex(
    {
      spawn: fakeSpawn,
      client: { node: '/node', script: '/src.mjs' },
      instanceUrl: `http://127.0.0.1:${(instance.address() as AddressInfo).port}`,
      executorName: 'test',
      native,
      log: { write: async () => {}, end: async () => {} },
      stopped: new AbortController().signal,
    },
    { id: 1, repositoryName: 'acme/plain', commit: 'c'.repeat(40) },
    {
      ...{ file: 'index.scip', root: '', indexer: null, route: '/.executors/scip/upload' },
      ...{ associatedIndexId: 1, authorization: 'token-executor 01234567' },
    },
    directory,
  );
}

test('an index that the instance accepts is uploaded', async () => {
  status = 202;
  await upload(true);
});

test.each<[typeof status, boolean, string]>([
  [400, true, 'upload_failed'],
  [403, true, 'upload_failed'],
  [401, true, 'lease_lost'],
  [401, false, 'upload_failed'],
  [408, true, 'instance_unreachable'],
  [429, true, 'instance_unreachable'],
  [503, true, 'instance_unreachable'],
  [503, false, 'instance_unreachable'],
  [null, true, 'instance_unreachable'],
  ['nothing', true, 'upload_failed'],
])('the answer %s, at an instance that is native (%s), rejects with %s', async (answer, native, code) => {
  status = answer;
  await expect(upload(native)).rejects.toMatchObject({ code });
});

test('an upload that fails has the reason that the client gives', async () => {
  status = 400;
  await expect(upload(true)).rejects.toMatchObject({
    message:
      'could not upload the index: `src code-intel upload` ended with 1: the instance refused the index: it is none',
  });
});
