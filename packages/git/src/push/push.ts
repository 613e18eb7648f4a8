import { type Answer, collect } from '@fumehood/base';
import { gitProtocol, remoteRefused, repositoryInvalid } from '../errors.ts';
import { flushPacket, packetLine, readPackets } from '../packet-lines.ts';
import { isRefName, type RemoteHttp, refsMax } from '../remote.ts';
import { branchMoved, pushRefused, remoteUnavailable } from './errors.ts';

/** A branch that is to be at a commit. */
export interface BranchPush {
  /** A full name: `refs/heads/…`. */
  readonly ref: string;
  /** Where the branch may be before: commits that were pushed earlier. A branch that is not there may always be made. */
  readonly from: readonly string[];
  readonly commit: string;
  /** The objects that the remote may lack. */
  readonly pack: Uint8Array<ArrayBuffer>;
}

const none = '0'.repeat(40);
/** Bytes of a report about one branch that are read. */
const reportMax = 65_536;

/**
 * Brings a branch of a remote repository to a commit, over HTTP. The server compares where the branch is before it changes it. A repetition changes nothing.
 * Errors: `branch_moved`, `push_refused`, `remote_unavailable`, `remote_refused`, `git_protocol`, `repository_invalid`.
 */
export async function pushBranch(http: RemoteHttp, push: BranchPush): Promise<void> {
  const old = (await pushedRefs(http)).get(push.ref) ?? null;
  if (old === push.commit) return;
  if (old !== null && !push.from.includes(old)) throw branchMoved(push.ref, old);
  const refusal = await send(http, push, old);
  if (refusal === null) return;
  const found = (await pushedRefs(http)).get(push.ref) ?? null;
  if (found === push.commit) return;
  throw found === old ? pushRefused(push.ref, refusal) : branchMoved(push.ref, found);
}

/** Returns the branches and tags of a remote that takes pushes, by their full names. Errors: those of `pushBranch`. */
export async function pushedRefs(http: RemoteHttp): Promise<ReadonlyMap<string, string>> {
  const answer = await http({ method: 'GET', path: '/info/refs?service=git-receive-pack', headers: {} });
  await expectGit(answer);
  const found = new Map<string, string>();
  let isAnnounced = false;
  let refs = 0;
  for await (const packet of readPackets(answer.body ?? empty())) {
    if (packet.type !== 'data') continue;
    const line = packet.bytes.toString('utf8').trimEnd();
    if (line.startsWith('# service=git-receive-pack')) isAnnounced = true;
    else if (line.startsWith('ERR ')) throw remoteRefused(line.slice(4, 300));
    else {
      const [object = '', name] = (line.split('\0')[0] ?? '').split(' ');
      if (/object-format=(?!sha1\b)/.test(line)) throw repositoryInvalid('its object format is not SHA-1');
      if (name !== undefined && isRefName(name) && /^[0-9a-f]{40}$/.test(object)) found.set(name, object);
      refs += 1;
      if (refs > 4 * refsMax) throw repositoryInvalid(`it has more than ${4 * refsMax} branches and tags`);
    }
  }
  if (!isAnnounced) throw gitProtocol('it takes no pushes over HTTP');
  return found;
}

/** Sends a branch. Returns null, or why the server does not take it. */
async function send(
  http: RemoteHttp,
  { ref, commit, pack }: BranchPush,
  old: string | null,
): Promise<string | null> {
  const answer = await http({
    method: 'POST',
    path: '/git-receive-pack',
    headers: {
      'content-type': 'application/x-git-receive-pack-request',
      accept: 'application/x-git-receive-pack-result',
    },
    body: Buffer.concat([
      packetLine(`${old ?? none} ${commit} ${ref}\0report-status object-format=sha1 agent=fumehood`),
      flushPacket,
      pack,
    ]),
  });
  await expectGit(answer);
  const report = await collect(answer.body ?? empty(), reportMax);
  let isTaken = false;
  for await (const packet of readPackets(toStream(report))) {
    if (packet.type !== 'data') break;
    const line = packet.bytes.toString('utf8').trimEnd();
    if (line.startsWith('ng ') || (line.startsWith('unpack ') && line !== 'unpack ok'))
      return line.slice(0, 300);
    if (line === `ok ${ref}`) isTaken = true;
  }
  return isTaken ? null : 'it does not say that it has';
}

async function expectGit(answer: Answer): Promise<void> {
  if (answer.status === 200) return;
  await answer.body?.cancel();
  const { status } = answer;
  if (status >= 500 || status === 429) throw remoteUnavailable(status);
  throw remoteRefused(
    `it answered ${status} to a push`,
    'Give the repository a credential that may write to it, and check its URL: `fumehood repos add`.',
  );
}

async function* toStream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* empty(): AsyncGenerator<Uint8Array> {}
