import { chmodSync, copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { localSpawn, openFileCache, type Spawn, type SpawnRequest, systemClock } from '@fumehood/base';
import { expect } from 'vitest';
import { openArchive } from '../archive.ts';
import { type FetchDeps, type FetchedImage, fetchImage } from '../registry/fetch.ts';
import { type FetchMemory, openFetchMemory } from '../registry/memory.ts';
import { type Registries, registriesSchema } from '../registry/registries.ts';
import { file, layerOf, layoutFiles, treeOf } from './image.ts';
import { FakeRegistry } from './registry.ts';

const isRoot = process.getuid?.() === 0;
const profile = localSpawn(isRoot ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null);
const directories = ['cache', 'work'];

/** Fetches images from a fake registry, a new one for each test, and checks at the end that only the cache has files left. */
export class Fetching {
  readonly root: string;
  /** Requests of the programs that were started, without their stdin. */
  started: SpawnRequest[] = [];
  /** Lines about the fetches of a test. */
  lines: string[] = [];
  private memory: FetchMemory = openFetchMemory(systemClock);
  /** Number of running programs. */
  alive = 0;
  private readonly cache = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} });
  private current: FakeRegistry | null = null;

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<Fetching> {
    const root = await mkdtemp(join(tmpdir(), 'fumehood-registry-'));
    chmodSync(root, 0o711);
    copyFileSync(process.execPath, join(root, 'node'));
    return new Fetching(root);
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  async begin(): Promise<void> {
    this.started = [];
    this.lines = [];
    this.memory = openFetchMemory(systemClock);
    this.current = await FakeRegistry.start();
    for (const name of directories) {
      mkdirSync(join(this.root, name), { mode: 0o710 });
      chmodSync(join(this.root, name), 0o710);
    }
  }

  async end(): Promise<void> {
    await this.registry.stop();
    expect(readdirSync(join(this.root, 'work'))).toEqual([]);
    expect(readdirSync(join(this.root, 'cache')).filter((name) => name.endsWith('.partial'))).toEqual([]);
    for (const name of directories) await rm(join(this.root, name), { recursive: true });
  }

  get registry(): FakeRegistry {
    if (!this.current) throw new Error('no test has begun');
    return this.current;
  }

  depsFor(registries: Registries, more: Partial<FetchDeps> = {}): FetchDeps {
    return {
      spawn: this.spawn,
      node: { source: join(this.root, 'node'), target: '/opt/fumehood/node' },
      registries,
      work: join(this.root, 'work'),
      archives: join(this.root, 'cache'),
      cache: this.cache.open(),
      memory: this.memory,
      onLine: (line) => void this.lines.push(line),
      ...more,
    };
  }

  /** Fetches an image of the fake registry. */
  fetch(name: string, more: Partial<FetchDeps> = {}): Promise<FetchedImage> {
    const { place } = this.registry;
    const { signal } = new AbortController();
    return fetchImage(this.depsFor(insecure(place), more), `${place}/${name}`, {}, signal);
  }

  private readonly spawn: Spawn = async (request) => {
    this.started.push(request);
    this.alive += 1;
    const running = await profile(request);
    void running.exited.then(() => (this.alive -= 1));
    return running;
  };
}

/** Returns an operator's configuration of a registry without TLS. */
export const insecure = (place: string): Registries =>
  registriesSchema.parse([{ location: place, insecure: true }]);

export const layers = [layerOf(file('a', 'first')), layerOf(file('b', 'second'))];
export const image = (config: object = { Cmd: ['c'] }) => layoutFiles(layers, { config, packed: gzipSync });

/** Returns the configuration and the tree of an archive in the cache. */
export async function archived(path: string) {
  const archive = await openArchive(path);
  return { config: archive.config, tree: await treeOf(archive) };
}
