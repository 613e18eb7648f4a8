import { execFile } from 'node:child_process';
import { lookup, Resolver } from 'node:dns/promises';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { factsOf } from '@fumehood/base';
import { isPublicAddress } from '@fumehood/egress';
import { networkMissing } from '@fumehood/microvm';
import { brokerUrlSchema, type PrivateHost } from '@fumehood/protocol';
import * as z from 'zod';
import type { CommandContext } from '../cli/context.ts';
import { demoFailed } from '../errors.ts';
import { makeState } from '../state/make.ts';
import { readJson } from '../state/state.ts';
import { stopExecutor } from '../up/down.ts';
import { findRunning } from '../up/running.ts';
import { adminSettings } from '../up/settings.ts';
import type { LocalRepository } from './repository.ts';

/** From where the dependencies of a demo are installed, and which of them are indexed. */
export interface Install {
  /** The URL of npm's registry; it ends with a slash. */
  readonly registry: string;
  readonly host: PrivateHost;
  /** Names of packages. */
  readonly dependencies: readonly string[];
}

/** Most dependencies that are indexed: those that the project names itself. */
const indexedMax = 20;
const manifestSchema = z.object({
  dependencies: z.record(z.string().regex(/^(@[\w.-]+\/)?[\w-][\w.-]*$/), z.unknown()).default({}),
});
const configSchema = z.object({ registry: z.string(), cafile: z.string().nullish() });

/** Errors: `demo_failed` where guests get no network. */
export function requireNetwork(): void {
  const missing = networkMissing();
  if (missing === null) return;
  throw demoFailed(
    `--install needs a VM with a network, and this machine gives it none: ${missing}`,
    'Mend that, or leave out --install.',
  );
}

/** Returns the dependencies that a project names, and checks that it can be installed. Errors: `demo_failed`, `repository_unreadable`. */
export async function dependenciesOf(repository: LocalRepository): Promise<string[]> {
  const below = (name: string) => (repository.root === '' ? name : `${repository.root}/${name}`);
  for (const name of ['package.json', 'package-lock.json'])
    if (!(await repository.has(below(name))))
      throw demoFailed(
        `--install runs npm ci, and the commit has no ${below(name)}`,
        'Commit it, or name the directory that has it with --root.',
      );
  const text = (await repository.file(below('package.json'))).toString();
  const manifest = manifestSchema.safeParse(jsonOf(text));
  if (!manifest.success)
    throw demoFailed(`${below('package.json')} is not one that npm reads`, 'Mend it, and commit it.');
  return Object.keys(manifest.data.dependencies).slice(0, indexedMax);
}

/**
 * Finds the registry of the user's npm, and lets guests of this machine's executor reach it: where it is not on the public internet, its host is
 * opened; where npm trusts an authority of its own, the broker does, too. Both go to settings.json. Errors: `demo_failed`.
 */
export async function openRegistry(context: CommandContext): Promise<Pick<Install, 'registry' | 'host'>> {
  const { state, environment, onProgress } = context;
  const config = await npmConfig(environment);
  const parsed = brokerUrlSchema.safeParse(config.registry);
  if (!parsed.success)
    throw demoFailed(
      `npm's registry ${config.registry} cannot be reached through the broker: its URL ${parsed.error.issues[0]?.message}`,
      'Set another one: `npm config set registry URL`.',
    );
  const url = new URL(parsed.data);
  const host = { name: url.hostname, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80) };
  makeState(state, context.root);
  const settings = adminSettings(state);
  const addresses = await addressesOf(host.name, settings.nameServers);
  const isOpen = settings.privateHosts.some(({ name, port }) => name === host.name && port === host.port);
  const changes: Record<string, unknown> = {};
  if (!isOpen && !addresses.every(isPublicAddress)) {
    onProgress(`npm's registry ${host.name} is not on the public internet (${addresses[0]}):`);
    onProgress(
      `  guests of this executor may reach its port ${host.port} from now on (privateHosts of settings.json)`,
    );
    changes['privateHosts'] = [...settings.privateHosts, host];
  }
  const authorities = config.cafile ?? environment['NODE_EXTRA_CA_CERTS'];
  if (authorities && settings.brokerCaFile === null) {
    onProgress(`the broker trusts the certificate authorities of ${authorities}, as npm does (brokerCaFile)`);
    changes['brokerCaFile'] = authorities;
  }
  if (Object.keys(changes).length > 0) {
    const file = join(state.root, 'settings.json');
    await writeFile(file, JSON.stringify({ ...(readJson(file) as object | null), ...changes }, null, 2), {
      mode: 0o600,
    });
    const { executor } = findRunning(state);
    if (executor) await stopExecutor(executor, { ...context, drain: true });
  }
  return { registry: parsed.data, host };
}

/** The settings of the user, and not those of the repository, which must not choose what is opened. Errors: `demo_failed`. */
async function npmConfig(env: NodeJS.ProcessEnv): Promise<z.infer<typeof configSchema>> {
  try {
    const args = ['config', 'list', '--json', '--no-workspaces'];
    const { stdout } = await promisify(execFile)('npm', args, { cwd: homedir(), env, maxBuffer: 2 ** 24 });
    return configSchema.parse(JSON.parse(stdout));
  } catch (error) {
    throw demoFailed(
      `npm does not say which registry it uses: ${factsOf(error).message.slice(0, 500)}`,
      'Try `npm config get registry`.',
    );
  }
}

async function addressesOf(name: string, nameServers: readonly string[] | null): Promise<string[]> {
  try {
    if (nameServers === null)
      return (await lookup(name, { all: true, family: 4 })).map(({ address }) => address);
    const resolver = new Resolver({ timeout: 3_000, tries: 2 });
    resolver.setServers(nameServers);
    return await resolver.resolve4(name);
  } catch (error) {
    throw demoFailed(
      `npm's registry ${name} was not reached: ${factsOf(error).message}`,
      'Look at `npm config get registry`, and at the network of this machine.',
    );
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
