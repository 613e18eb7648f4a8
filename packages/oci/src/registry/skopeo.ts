import { lookup } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  abortable,
  type AllowedCommand,
  factsOf,
  type Finished,
  removeTree,
  runToEnd,
  type Spawn,
  type SpawnBind,
  sharedDirectory,
} from '@fumehood/base';
import { documentMax } from '../documents.ts';
import { imageTooBig, registryUnreachable } from '../errors.ts';
import type { HttpProxy } from '@fumehood/egress';
import { type BridgeInput, bridgeScript, proxySocket } from './bridge.ts';
import type { ConnectedHosts } from './mirrors.ts';
import { openRegistryProxy } from './proxy.ts';
import {
  loopbackPorts,
  namedHosts,
  type Registries,
  type RegistryAuths,
  registriesConf,
} from './registries.ts';
import { skopeoError } from './skopeo-error.ts';

/** What runs of skopeo have in common on this executor. */
export interface RegistryDeps {
  readonly spawn: Spawn;
  /** Path of Node on the host and in the sandbox. */
  readonly node: { readonly source: string; readonly target: string };
  readonly registries: Registries;
  /** Directory for temporary directories. */
  readonly work: string;
  /** Resolves a host name to addresses. Default: the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** The HTTP proxy on the way to registries; null or missing: there is none. */
  readonly httpProxy?: HttpProxy | null;
}

/** One run of skopeo. */
export interface SkopeoCall {
  /** The image, for errors. */
  readonly reference: string;
  readonly args: readonly string[];
  readonly auths: RegistryAuths;
  /** Directory that it may write to, as /out, or null. */
  readonly out: string | null;
  /** Bytes that may arrive over the network. */
  readonly maxBytes: number;
  /** Largest file that it may write, bytes. */
  readonly fileBytes: number;
  readonly timeMs: number;
  /** Called with the number of bytes that have arrived so far. */
  readonly onBytes?: (bytes: number) => void;
}

/** What a run of skopeo left, and the hosts to which it has connected. */
interface SkopeoResult extends Finished {
  readonly connected: ConnectedHosts;
}

const outTarget = '/out';
const bridgeArguments = ['-e', bridgeScript];

/** Returns what a helper has to allow for skopeo, whose directories are below `work`. */
export function skopeoCommand(node: RegistryDeps['node'], work: string): AllowedCommand {
  return {
    program: node.target,
    args: bridgeArguments,
    binds: [
      { target: node.target, mode: 'ro', from: node.source },
      { target: dirname(proxySocket), mode: 'ro', from: work },
      { target: outTarget, mode: 'rw', from: work },
    ],
  };
}

const caFile = '/etc/ssl/certs/ca-certificates.crt';

/**
 * Runs skopeo in a sandbox (`Spawn`) whose only network access is the registry proxy, and returns what it left. Errors:
 * `image_not_found`, `image_too_big`, `image_invalid`, `registry_unauthorized`, `registry_unreachable`, `registry_not_public`, and
 * the signal's reason.
 */
export async function runSkopeo(
  deps: RegistryDeps,
  call: SkopeoCall,
  signal: AbortSignal,
): Promise<SkopeoResult> {
  signal.throwIfAborted();
  const timeout = AbortSignal.timeout(call.timeMs);
  const directory = await mkdtemp(join(deps.work, 'registry-'));
  try {
    await chmod(directory, 0o710); // the program, which has this process's group, must get through
    const sockets = join(directory, 'proxy');
    await sharedDirectory(sockets);
    const named = namedHosts(deps.registries);
    const { maxBytes, onBytes = () => {} } = call;
    const { resolve = addressesOf, httpProxy = null } = deps;
    const rules = { named, maxBytes, resolve, httpProxy, onBytes };
    const proxy = await openRegistryProxy(join(sockets, 'socket'), rules);
    try {
      const finished = await run(deps, call, sockets, [...named], AbortSignal.any([signal, timeout]));
      return { ...finished, connected: proxy.reached };
    } catch (error) {
      signal.throwIfAborted();
      if (timeout.aborted)
        throw registryUnreachable(call.reference, `it was not done within ${call.timeMs / 1000} s`);
      const { code, details } = factsOf(error);
      if (code === 'too_big') throw imageTooBig('its manifest is too large');
      if (code !== 'program_failed') throw error;
      const { stderr } = details as { stderr: string };
      throw proxy.failure() ?? skopeoError(call.reference, stderr, call.auths);
    } finally {
      await proxy.close();
    }
  } finally {
    await removeTree(deps.spawn, directory);
  }
}

async function run(
  deps: RegistryDeps,
  call: SkopeoCall,
  sockets: string,
  named: readonly string[],
  signal: AbortSignal,
): Promise<Finished> {
  const { source, target } = deps.node;
  const [subcommand, ...args] = call.args as [string, ...string[]];
  const input: BridgeInput = {
    files: {
      'auth.json': JSON.stringify({ auths: call.auths }),
      'registries.conf': registriesConf(deps.registries),
      'ca.pem': existsSync(caFile) ? await readFile(caFile, 'utf8') : '',
    },
    loopback: loopbackPorts(named),
    args: [subcommand, '--authfile', '/tmp/auth.json', ...args],
  };
  const binds: SpawnBind[] = [
    { source, target, mode: 'ro' },
    { source: sockets, target: dirname(proxySocket), mode: 'ro' },
  ];
  if (call.out !== null) binds.push({ source: call.out, target: outTarget, mode: 'rw' });
  const request = {
    label: `skopeo ${call.args[0]}`,
    program: target,
    args: bridgeArguments,
    binds,
    limits: { memoryBytes: 0, fileBytes: call.fileBytes, timeMs: call.timeMs + 1_000 },
  };
  return runToEnd(abortable(deps.spawn, signal), request, {
    stdin: Buffer.from(JSON.stringify(input)),
    maxStdoutBytes: documentMax,
  });
}

async function addressesOf(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
