import { collect, FumehoodError } from '@fumehood/base';
import { type CommitPack, packMax, repositoryInvalid } from '@fumehood/git';
import { commitMissing, gitProtocol, instanceUnreachable } from '../errors.ts';
import { expectStatus, causeOf } from '../uplink/http.ts';
import type { JobClient } from '../uplink/job-client.ts';
import { delimiterPacket, flushPacket, type Packet, packetLine, readPackets } from './packet-lines.ts';

/** What is to be fetched: one commit of one repository, without its history. */
export interface Wanted {
  readonly repository: string;
  readonly commit: string;
}

const advertisementMax = 65_536;

/**
 * Asks the git route with this job's token whether it may have the repository: the proof that a cached workspace needs as
 * much as a new one (design invariant 11). Errors: `commit_missing`, `instance_unreachable`, `git_protocol`.
 */
export async function checkRepositoryAccess(
  client: JobClient,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<void> {
  const action = 'ask for the repository';
  const response = await client.open({
    method: 'GET',
    path: `${routeOf(wanted)}/info/refs?service=git-upload-pack`,
    headers: { 'git-protocol': 'version=2' },
    signal,
    action,
  });
  await expectGit(response, wanted, action);
  const text = (await collect(response.body ?? empty(), advertisementMax)).toString('latin1');
  if (!text.includes('version 2')) throw gitProtocol('it does not speak protocol version 2');
  if (/object-format=(?!sha1\b)/.test(text))
    throw repositoryInvalid('its object format is not SHA-1, the only one that is understood');
}

/** Fetches one commit at depth 1 (git protocol version 2, over HTTP). Errors: as above. */
export async function fetchPack(client: JobClient, wanted: Wanted, signal: AbortSignal): Promise<CommitPack> {
  const action = 'fetch the commit';
  const body = Buffer.concat([
    packetLine('command=fetch\n'),
    packetLine('object-format=sha1\n'),
    delimiterPacket,
    ...['no-progress', 'ofs-delta', `want ${wanted.commit}`, 'deepen 1', 'done'].map((line) =>
      packetLine(`${line}\n`),
    ),
    flushPacket,
  ]);
  const response = await client.open({
    method: 'POST',
    path: `${routeOf(wanted)}/git-upload-pack`,
    headers: {
      'git-protocol': 'version=2',
      'content-type': 'application/x-git-upload-pack-request',
      accept: 'application/x-git-upload-pack-result',
    },
    body,
    signal,
    action,
  });
  await expectGit(response, wanted, action);
  const packets = readPackets(unbroken(response.body ?? empty(), signal, action));
  const shallow = await readHead(packets, wanted);
  return { shallow, bytes: packBytes(packets, wanted) };
}

function routeOf({ repository }: Wanted): string {
  return `/.executors/git/${repository.split('/').map(encodeURIComponent).join('/')}`;
}

async function* empty(): AsyncGenerator<Uint8Array> {}

async function expectGit(response: Response, wanted: Wanted, action: string): Promise<void> {
  if (response.status === 200) return;
  if (response.status === 403 || response.status === 404)
    throw commitMissing(wanted.repository, wanted.commit, `the instance answers ${response.status}`);
  await expectStatus(response, [200], action);
}

/** A stream whose breaking off is the network's fault, not the pack's. */
async function* unbroken(
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

/** Everything before the pack: errors, and whether the commit's parents were left out. */
async function readHead(packets: AsyncGenerator<Packet>, wanted: Wanted): Promise<boolean> {
  let shallow = false;
  for (;;) {
    const { done, value: packet } = await packets.next();
    if (done) throw gitProtocol('it ends before the pack');
    if (packet.type !== 'data') continue;
    const line = packet.bytes.toString('latin1').trimEnd();
    if (line.startsWith('ERR ')) throw commitMissing(wanted.repository, wanted.commit, line.slice(4, 300));
    if (line === 'packfile') return shallow;
    if (line === `shallow ${wanted.commit}`) shallow = true;
    else if (line !== 'shallow-info') throw gitProtocol(`an unexpected line before the pack`);
  }
}

/** Band 1 is the pack, 2 is progress, 3 an error. */
async function* packBytes(packets: AsyncGenerator<Packet>, wanted: Wanted): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const packet of packets) {
    if (packet.type !== 'data') return;
    const [band] = packet.bytes;
    if (band === 3)
      throw commitMissing(wanted.repository, wanted.commit, packet.bytes.toString('utf8', 1, 300));
    if (band !== 1) continue;
    size += packet.bytes.length - 1;
    if (size > packMax)
      throw new FumehoodError({ code: 'too_big', message: `the commit needs more than ${packMax} bytes` });
    yield packet.bytes.subarray(1);
  }
  throw gitProtocol('the pack breaks off');
}
