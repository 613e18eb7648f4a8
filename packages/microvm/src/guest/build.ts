import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { guestImageInvalid, toolFailed } from '../errors.ts';
import { type CpioEntry, cpio } from './cpio.ts';
import { extractKernel, readKernel } from './kernel.ts';

const run = promisify(execFile);

/** What a guest image is built from, besides Debian's kernel. */
export interface GuestRecipe {
  /** Directory of init's C sources, or the path of init, built. */
  readonly init: string;
  /** Debian's kernel modules that init loads, each after its dependencies. */
  readonly modules: readonly string[];
  /** Path of an uncompressed kernel in place of Debian's, which has built in what those modules bring. */
  readonly kernel?: string;
}

/** The recipe of the guest image that ships. ext4 is built into the kernel. */
export const guestRecipe: GuestRecipe = {
  init: join(import.meta.dirname, 'init'),
  modules: [
    ...['virtio_ring', 'virtio', 'virtio_mmio', 'virtio_blk', 'virtio_console', 'squashfs', 'overlay'],
    ...['vsock', 'vmw_vsock_virtio_transport_common', 'vmw_vsock_virtio_transport'],
    ...['failover', 'net_failover', 'virtio_net'],
    ...['virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'],
  ],
};

/** The kernel and initramfs that a VM boots. Everybody may read these files. */
export interface GuestImage {
  /** Path of the uncompressed kernel (ELF with a PVH note). */
  readonly kernel: string;
  /** Path of the initramfs. */
  readonly initramfs: string;
  /** SHA-256 of kernel and initramfs. */
  readonly digest: string;
}

/** Returns the guest image in `directory`, or null when it holds none of this recipe. */
async function loadGuest(directory: string, recipe: GuestRecipe): Promise<GuestImage | null> {
  const target = join(directory, await sourceKey(recipe));
  const facts = join(target, 'guest.json');
  if (!existsSync(facts)) return null;
  const { digest } = JSON.parse(await readFile(facts, 'utf8')) as Pick<GuestImage, 'digest'>;
  return { ...filesIn(target), digest };
}

const filesIn = (target: string) => ({
  kernel: join(target, 'vmlinux'),
  initramfs: join(target, 'initramfs.cpio'),
});

/**
 * Builds the guest image, once for each recipe: Debian's cloud kernel, the few modules that init loads, and init itself. Needs
 * apt's package lists, gcc and lz4. Errors: `tool_failed` with the command that mends it, `guest_image_invalid`.
 *
 * `kernelPackage` is a directory that `unpackKernelPackage` made; without it, the package is fetched.
 */
export async function buildGuest(options: {
  readonly directory: string;
  readonly onProgress: (line: string) => void;
  readonly recipe?: GuestRecipe | undefined;
  readonly kernelPackage?: string;
}): Promise<GuestImage> {
  const recipe = options.recipe ?? guestRecipe;
  const built = await loadGuest(options.directory, recipe);
  if (built) return built;
  const target = join(options.directory, await sourceKey(recipe));
  await mkdir(options.directory, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'fumehood-guest-'));
  try {
    const { kernel, modules } = recipe.kernel
      ? { kernel: await readKernel(recipe.kernel), modules: [] }
      : await debianKernel(recipe.modules, work, options);
    const init = await initOf(recipe, work);
    const initramfs = cpio(initramfsEntries(modules, init));
    return await store(target, { kernel, initramfs });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** A module of a kernel, which init loads. */
interface Module {
  readonly name: string;
  readonly content: Buffer;
}

/** Returns Debian's kernel and these of its modules. Errors: `tool_failed`, `guest_image_invalid`. */
async function debianKernel(
  names: readonly string[],
  work: string,
  options: Pick<Parameters<typeof buildGuest>[0], 'kernelPackage' | 'onProgress'>,
): Promise<{ readonly kernel: Buffer; readonly modules: readonly Module[] }> {
  let tree = options.kernelPackage;
  if (!tree) {
    options.onProgress('fetching the kernel package');
    tree = await unpackKernelPackage(work);
    options.onProgress('unpacking the kernel');
  }
  const boot = await readdir(join(tree, 'boot'));
  const name = boot.find((file) => file.startsWith('vmlinuz-'));
  if (!name) throw guestImageInvalid('the package contains no kernel');
  const kernel = await extractKernel(join(tree, 'boot', name));
  const root = join(tree, 'lib/modules', name.slice('vmlinuz-'.length));
  const all = await readdir(root, { recursive: true });
  const modules: Module[] = [];
  for (const name of names) {
    const file = all.find((path) => path.endsWith(`/${name}.ko`));
    if (!file) throw guestImageInvalid(`the package has no module ${name}`);
    const stripped = join(work, `${name}.ko`);
    await run('strip', ['-g', '-o', stripped, join(root, file)]);
    modules.push({ name, content: await readFile(stripped) });
  }
  return { kernel, modules };
}

async function sourceKey({ init, modules, kernel }: GuestRecipe): Promise<string> {
  const hash = createHash('sha256').update(modules.join());
  if (kernel) hash.update(await readKernel(kernel));
  if (await isBuilt(init)) hash.update(await readFile(init));
  else for (const file of await sourcesOf(init)) hash.update(file).update(await readFile(join(init, file)));
  return hash.digest('hex').slice(0, 16);
}

/** Fetches Debian's cloud kernel and unpacks it below `work`. Returns the directory of the package's files. Errors: `tool_failed`. */
export async function unpackKernelPackage(work: string): Promise<string> {
  const aptGet = async (args: string[], remedy: string) => {
    try {
      return await run('apt-get', args, { cwd: work });
    } catch (error) {
      throw toolFailed('apt-get', lastLine(error), remedy);
    }
  };
  const { stdout } = await run('apt-cache', ['depends', 'linux-image-cloud-amd64']).catch(
    (error: unknown) => {
      throw toolFailed('apt-cache', lastLine(error), 'Run `apt-get update` as root.');
    },
  );
  const name = /Depends: (linux-image-\S+-cloud-amd64)$/m.exec(stdout)?.[1];
  if (!name)
    throw toolFailed(
      'apt-cache',
      'the package lists contain no cloud kernel',
      'Run `apt-get update` as root.',
    );
  await aptGet(
    ['download', '-o', 'APT::Sandbox::User=root', name],
    'Run `apt-get update` as root and try again.',
  );
  const deb = (await readdir(work)).find((file) => file.endsWith('.deb'));
  if (!deb) throw guestImageInvalid('no package was downloaded');
  await run('dpkg-deb', ['-x', join(work, deb), join(work, 'tree')]);
  return join(work, 'tree');
}

async function sourcesOf(init: string): Promise<string[]> {
  return (await readdir(init)).filter((file) => /\.[ch]$/.test(file)).sort();
}

async function isBuilt(init: string): Promise<boolean> {
  return (await stat(init)).isFile();
}

async function initOf({ init }: GuestRecipe, work: string): Promise<Buffer> {
  if (await isBuilt(init)) return readFile(init);
  const built = join(work, 'init');
  await compileInit(init, built);
  return readFile(built);
}

/** Compiles init from the C sources in a directory to the path `out`. Errors: `tool_failed`. */
export async function compileInit(sources: string, out: string): Promise<void> {
  const files = (await sourcesOf(sources))
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(sources, file));
  const flags = ['-static', '-O2', '-Wall', '-Wextra', '-Werror', '-s', '-o', out];
  await run('gcc', [...flags, ...files]).catch((error: unknown) => {
    throw toolFailed('gcc', lastLine(error), 'Install it: `apt-get install gcc libc6-dev`.');
  });
}

function initramfsEntries(modules: readonly Module[], init: Buffer): CpioEntry[] {
  const order = modules.map(({ name }) => `${name}.ko\n`).join('');
  return [
    { path: 'init', mode: 0o700, content: init },
    { path: 'modules', mode: 0o700 },
    { path: 'modules/order', mode: 0o600, content: Buffer.from(order) },
    ...modules.map(({ name, content }) => ({ path: `modules/${name}.ko`, mode: 0o600, content })),
  ];
}

async function store(target: string, parts: { kernel: Buffer; initramfs: Buffer }): Promise<GuestImage> {
  const digest = createHash('sha256').update(parts.kernel).update(parts.initramfs).digest('hex');
  const image: GuestImage = { ...filesIn(target), digest: `sha256:${digest}` };
  const partial = `${target}.${process.pid}`;
  await mkdir(partial, { recursive: true });
  await chmod(partial, 0o755);
  await writeFile(join(partial, 'vmlinux'), parts.kernel, { mode: 0o444 });
  await writeFile(join(partial, 'initramfs.cpio'), parts.initramfs, { mode: 0o444 });
  await writeFile(join(partial, 'guest.json'), JSON.stringify({ digest: image.digest }), { mode: 0o444 });
  await rm(target, { recursive: true, force: true });
  await rename(partial, target);
  return image;
}

/** Returns the last line of a failed program's stderr, or of the error itself. */
function lastLine(error: unknown): string {
  const text = (error as { stderr?: string }).stderr || String(error);
  return text.trim().split('\n').at(-1) ?? '';
}
