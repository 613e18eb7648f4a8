import { lookup } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { factsOf, runToEnd, type Spawn, type SpawnBind, sharedDirectory } from '@fumehood/base';
import { imageTooBig, registryUnreachable } from '../errors.ts';
import { type BridgeOrders, bridgeScript, proxySocket } from './bridge.ts';
import { explainComplaint } from './complaints.ts';
import { openRegistryProxy } from './proxy.ts';
import {
  loopbackPorts,
  namedPlaces,
  type Registries,
  type RegistryAuths,
  registriesConf,
} from './registries.ts';

/** How registries are reached from here. */
export interface RegistryDeps {
  readonly spawn: Spawn;
  /** Node on the host, and the path that it has inside. */
  readonly node: { readonly source: string; readonly target: string };
  readonly registries: Registries;
  /** Directories are made in it and removed again. */
  readonly work: string;
  /** The addresses of a host; default: the system's. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** One run of skopeo. */
export interface SkopeoCall {
  /** What it is about, for errors. */
  readonly reference: string;
  readonly args: readonly string[];
  readonly auths: RegistryAuths;
  /** What it may write to, as /out. */
  readonly out: string | null;
  /** Bytes that may come in over the network. */
  readonly maxBytes: number;
  /** Largest file that it may write. */
  readonly fileBytes: number;
  readonly timeMs: number;
}

const memoryBytes = 4 * 2 ** 30;
const caFile = '/etc/ssl/certs/ca-certificates.crt';

/**
 * Runs skopeo under the Spawn profile, with one way out, and returns its stdout. Errors: `image_not_found`, `image_too_big`,
 * `image_invalid`, `registry_unauthorized`, `registry_unreachable`, `registry_not_public`, the signal's reason.
 */
export async function runSkopeo(deps: RegistryDeps, call: SkopeoCall, signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  const late = AbortSignal.timeout(call.timeMs);
  const directory = await mkdtemp(join(deps.work, 'registry-'));
  try {
    await chmod(directory, 0o711);
    const sockets = join(directory, 'proxy');
    await sharedDirectory(sockets);
    const named = namedPlaces(deps.registries);
    const { maxBytes } = call;
    const resolve = deps.resolve ?? addressesOf;
    const proxy = await openRegistryProxy(join(sockets, 'socket'), { named, maxBytes, resolve });
    try {
      return await run(deps, call, sockets, [...named], AbortSignal.any([signal, late]));
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted)
        throw registryUnreachable(call.reference, `it was not done after ${call.timeMs / 1000} s`);
      const { code, details } = factsOf(error);
      if (code === 'too_big') throw imageTooBig('its manifest is too large');
      if (code !== 'program_failed') throw error;
      const { stderr } = details as { stderr: string };
      throw proxy.failure() ?? explainComplaint(call.reference, stderr, call.auths);
    } finally {
      await proxy.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function run(
  deps: RegistryDeps,
  call: SkopeoCall,
  sockets: string,
  named: readonly string[],
  signal: AbortSignal,
): Promise<Buffer> {
  const { source, target } = deps.node;
  const [subcommand, ...args] = call.args as [string, ...string[]];
  const orders: BridgeOrders = {
    files: {
      'auth.json': JSON.stringify({ auths: call.auths }),
      'registries.conf': registriesConf(deps.registries),
      'ca.pem': existsSync(caFile) ? await readFile(caFile, 'utf8') : '',
    },
    loopback: loopbackPorts(named),
    // Whose signature an image has is nobody's policy yet; its digest is checked.
    command: [
      ...['/usr/bin/prlimit', `--as=${memoryBytes}`, '--', '/usr/bin/skopeo', '--insecure-policy'],
      ...['--registries-conf', '/tmp/registries.conf', subcommand, '--authfile', '/tmp/auth.json', ...args],
    ],
  };
  const binds: SpawnBind[] = [
    { source, target, mode: 'ro' },
    { source: sockets, target: proxySocket.slice(0, proxySocket.lastIndexOf('/')), mode: 'ro' },
  ];
  if (call.out !== null) binds.push({ source: call.out, target: '/out', mode: 'rw' });
  const killable: Spawn = async (request) => {
    const process = await deps.spawn(request);
    const kill = () => process.kill();
    signal.addEventListener('abort', kill, { once: true });
    if (signal.aborted) kill();
    void process.exited.then(() => signal.removeEventListener('abort', kill));
    return process;
  };
  const request = {
    label: `skopeo ${call.args[0]}`,
    program: target,
    args: ['-e', bridgeScript],
    binds,
    limits: { memoryBytes: 0, fileBytes: call.fileBytes, timeMs: call.timeMs + 1_000 },
  };
  return runToEnd(killable, request, {
    stdin: Buffer.from(JSON.stringify(orders)),
    maxStdoutBytes: documentMax,
  });
}

/** Largest manifest or configuration that is read. */
export const documentMax = 4 * 2 ** 20;

async function addressesOf(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
