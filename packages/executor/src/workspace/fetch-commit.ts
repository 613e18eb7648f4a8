import { type Answer, collect } from '@fumehood/base';
import {
  type CommitPack,
  delimiterPacket,
  flushPacket,
  gitProtocol,
  type Packet,
  packBytes,
  packetLine,
  packMax,
  readPackets,
  repositoryInvalid,
} from '@fumehood/git';
import { commitMissing, instanceUnreachable } from '../errors.ts';
import { expectStatus, causeOf } from '../uplink/http.ts';
import type { JobClient } from '../uplink/job-client.ts';

/** One commit of one repository. */
export interface CommitReference {
  readonly repository: string;
  readonly commit: string;
}

/** Bytes of the git server's capability advertisement that are read. */
const advertisementMax = 65_536;

/**
 * Checks with the git route that the job's token grants access to the repository. A cached workspace needs this as much as a new
 * one (docs/invariants.md, 11). Errors: `commit_missing`, `repository_invalid`, `instance_unreachable`, `git_protocol`.
 */
export async function checkRepositoryAccess(
  client: JobClient,
  reference: CommitReference,
  signal: AbortSignal,
): Promise<void> {
  const action = 'check the access to the repository';
  const response = await client.open({
    method: 'GET',
    path: `${routeOf(reference)}/info/refs?service=git-upload-pack`,
    headers: { 'git-protocol': 'version=2' },
    signal,
    action,
  });
  await expectGit(response, reference, action);
  const text = (await collect(response.body ?? empty(), advertisementMax)).toString('latin1');
  if (!text.includes('version 2')) throw gitProtocol('it does not speak protocol version 2');
  if (/object-format=(?!sha1\b)/.test(text))
    throw repositoryInvalid('its object format is not SHA-1, the only supported one');
}

/** Fetches one commit without its history (git protocol version 2, over HTTP). Errors: as `checkRepositoryAccess`. */
export async function fetchPack(
  client: JobClient,
  reference: CommitReference,
  signal: AbortSignal,
): Promise<CommitPack> {
  const action = 'fetch the commit';
  const body = Buffer.concat([
    packetLine('command=fetch\n'),
    packetLine('object-format=sha1\n'),
    delimiterPacket,
    ...['no-progress', 'ofs-delta', `want ${reference.commit}`, 'deepen 1', 'done'].map((line) =>
      packetLine(`${line}\n`),
    ),
    flushPacket,
  ]);
  const response = await client.open({
    method: 'POST',
    path: `${routeOf(reference)}/git-upload-pack`,
    headers: {
      'git-protocol': 'version=2',
      'content-type': 'application/x-git-upload-pack-request',
      accept: 'application/x-git-upload-pack-result',
    },
    body,
    signal,
    action,
  });
  await expectGit(response, reference, action);
  const packets = readPackets(withNetworkErrors(response.body ?? empty(), signal, action));
  const shallow = await readUntilPack(packets, reference);
  const failed = (why: string) => commitMissing(reference.repository, reference.commit, why);
  return { shallow, bytes: packBytes(packets, failed, packMax) };
}

function routeOf({ repository }: CommitReference): string {
  return `/.executors/git/${repository.split('/').map(encodeURIComponent).join('/')}`;
}

async function* empty(): AsyncGenerator<Uint8Array> {}

async function expectGit(response: Answer, reference: CommitReference, action: string): Promise<void> {
  if (response.status === 200) return;
  if (response.status === 403 || response.status === 404)
    throw commitMissing(reference.repository, reference.commit, `the instance answered ${response.status}`);
  await expectStatus(response, [200], action);
}

/** Turns an error of the stream into `instance_unreachable`. */
async function* withNetworkErrors(
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  action: string,
): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    signal.throwIfAborted();
    throw instanceUnreachable(action, causeOf(error));
  }
}

/** Reads up to the pack. Resolves with whether the commit's parents were left out. Errors: `commit_missing`, `git_protocol`. */
async function readUntilPack(packets: AsyncGenerator<Packet>, reference: CommitReference): Promise<boolean> {
  let shallow = false;
  for (;;) {
    const { done, value: packet } = await packets.next();
    if (done) throw gitProtocol('it ends before the pack');
    if (packet.type !== 'data') continue;
    const line = packet.bytes.toString('latin1').trimEnd();
    if (line.startsWith('ERR '))
      throw commitMissing(reference.repository, reference.commit, line.slice(4, 300));
    if (line === 'packfile') return shallow;
    if (line === `shallow ${reference.commit}`) shallow = true;
    else if (line !== 'shallow-info') throw gitProtocol(`an unexpected line before the pack`);
  }
}
