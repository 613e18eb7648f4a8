import { type Answer, collect } from '@fumehood/base';
import { gitProtocol, remoteRefused, repositoryInvalid } from './errors.ts';
import {
  delimiterPacket,
  flushPacket,
  type Packet,
  packBytes,
  packetLine,
  readPackets,
} from './packet-lines.ts';
import { packMax } from './repository.ts';

/** Sends a request to the remote repository; `path` is below its URL. Does not follow redirects. */
export type RemoteHttp = (request: {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
}) => Promise<Answer>;

/** The branches and tags of a repository. */
export interface RemoteRefs {
  /** The full name of the branch that HEAD names; null if it names none of these. */
  readonly head: string | null;
  /** Objects by the full names of branches and tags. */
  readonly refs: ReadonlyMap<string, string>;
  /** The commits of branches and tags, by the same names: that of an annotated tag is what it points to. */
  readonly commits: ReadonlyMap<string, string>;
  /** Branches and tags that were left out, because their names are not valid. */
  readonly invalid: number;
}

/** Most branches and tags of a repository. */
export const refsMax = 50_000;
/** Bytes of the git server's capability advertisement that are read. */
const advertisementMax = 65_536;
/** Tips that a request for objects names as present. More do not make its answer much smaller. */
const havesMax = 256;

/** Returns whether this is the full name of a branch or a tag as `git check-ref-format` has it, and no longer than a file's name may be. */
export function isRefName(name: string): boolean {
  return (
    /^refs\/(?:heads|tags)\/./.test(name) &&
    Buffer.byteLength(name) <= 1_000 &&
    !/[\p{Cc} ~^:?*[\\\ufffd]|\.\.|@\{|\/\/|\/$|\.$/u.test(name) &&
    name.split('/').every((part) => !part.startsWith('.') && !part.endsWith('.lock') && part !== '@')
  );
}

/**
 * Lists the branches and tags of a remote repository (git protocol version 2, over HTTP). Errors: `remote_refused`, `git_protocol`,
 * `repository_invalid`.
 */
export async function listRefs(http: RemoteHttp): Promise<RemoteRefs> {
  const advertised = await http({
    method: 'GET',
    path: '/info/refs?service=git-upload-pack',
    headers: { 'git-protocol': 'version=2' },
  });
  await expectGit(advertised);
  const text = (await collect(advertised.body ?? empty(), advertisementMax)).toString('latin1');
  if (!text.includes('version 2'))
    throw remoteRefused(
      'it does not speak version 2 of the git protocol',
      'Use a URL of a repository over HTTP, and a git server of 2.18 or later.',
    );
  if (/object-format=(?!sha1\b)/.test(text))
    throw repositoryInvalid('its object format is not SHA-1, the only supported one');
  const lines = ['peel', 'symrefs', 'ref-prefix HEAD', 'ref-prefix refs/heads/', 'ref-prefix refs/tags/'];
  const answer = await post(http, 'ls-refs', lines);
  const refs = new Map<string, string>();
  const commits = new Map<string, string>();
  let head: string | null = null;
  let invalid = 0;
  for await (const packet of answer) {
    if (packet.type !== 'data') break;
    const line = packet.bytes.toString('utf8').trimEnd();
    if (line.startsWith('ERR ')) throw remoteRefused(line.slice(4, 300));
    const [object = '', name = '', ...attributes] = line.split(' ');
    const attribute = (key: string) =>
      attributes.find((one) => one.startsWith(`${key}:`))?.slice(key.length + 1);
    if (name === 'HEAD') head = attribute('symref-target') ?? null;
    else if (!/^[0-9a-f]{40}$/.test(object) || !isRefName(name)) invalid += 1;
    else {
      refs.set(name, object);
      const peeled = attribute('peeled') ?? object;
      if (/^[0-9a-f]{40}$/.test(peeled)) commits.set(name, peeled);
    }
    if (refs.size + invalid > refsMax)
      throw repositoryInvalid(`it has more than ${refsMax} branches and tags`);
  }
  return { head: head !== null && refs.has(head) ? head : null, refs, commits, invalid };
}

/**
 * Fetches objects with their whole history, but not what the history of `haves` has: the bytes of a pack, which may build on objects of those.
 * Errors: as `listRefs`, and `too_big`.
 */
export async function fetchHistory(
  http: RemoteHttp,
  wants: readonly string[],
  haves: readonly string[],
): Promise<AsyncIterable<Buffer>> {
  const packets = await post(http, 'fetch', [
    ...['thin-pack', 'no-progress', 'ofs-delta'],
    ...wants.map((object) => `want ${object}`),
    ...haves.slice(0, havesMax).map((object) => `have ${object}`),
    'done',
  ]);
  for (;;) {
    const { done, value: packet } = await packets.next();
    if (done) throw gitProtocol('it ends before the pack');
    if (packet.type !== 'data') continue;
    const line = packet.bytes.toString('latin1').trimEnd();
    if (line.startsWith('ERR ')) throw remoteRefused(line.slice(4, 300));
    if (line === 'packfile') return packBytes(packets, remoteRefused, packMax);
    throw gitProtocol('an unexpected line before the pack');
  }
}

async function post(
  http: RemoteHttp,
  command: string,
  lines: readonly string[],
): Promise<AsyncGenerator<Packet>> {
  const answer = await http({
    method: 'POST',
    path: '/git-upload-pack',
    headers: {
      'git-protocol': 'version=2',
      'content-type': 'application/x-git-upload-pack-request',
      accept: 'application/x-git-upload-pack-result',
    },
    body: Buffer.concat([
      packetLine(`command=${command}\n`),
      packetLine('object-format=sha1\n'),
      delimiterPacket,
      ...lines.map((line) => packetLine(`${line}\n`)),
      flushPacket,
    ]),
  });
  await expectGit(answer);
  return readPackets(answer.body ?? empty());
}

async function expectGit(answer: Answer): Promise<void> {
  if (answer.status === 200) return;
  await answer.body?.cancel();
  const { status } = answer;
  if (status >= 300 && status < 400)
    throw remoteRefused(
      `it sends to ${(answer.headers.get('location') ?? 'another place').slice(0, 300)}`,
      'Add the repository with that URL.',
    );
  if (status === 401 || status === 403)
    throw remoteRefused(`it answered ${status}`, 'Give a credential that may read the repository.');
  throw remoteRefused(`it answered ${status}`, 'Check the URL of the repository.');
}

async function* empty(): AsyncGenerator<Uint8Array> {}
