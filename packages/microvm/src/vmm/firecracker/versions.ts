import { vmmRefused } from '../../errors.ts';

/** No older version is accepted. */
const oldest = '1.14.0';

/** Versions with known holes that the jail does not close. */
const holes: readonly {
  readonly name: string;
  readonly where: string;
  /** Whether the hole can be reached in a VM with or without a PCI bus. */
  readonly needsPci: boolean;
  readonly has: (version: Version) => boolean;
}[] = [
  {
    name: 'CVE-2026-5747',
    where: 'in its virtio devices on a PCI bus',
    needsPci: true,
    has: (version) =>
      isBefore(version, '1.14.4') || (version.numbers[1] === 15 && isBefore(version, '1.15.1')),
  },
];

interface Version {
  /** Major, minor and patch. */
  readonly numbers: readonly [number, number, number];
  /** What follows a hyphen: such a build is older than the version that it leads to. '' for a release. */
  readonly suffix: string;
}

/**
 * Checks that this version of Firecracker may run a VM, and returns it in the form that a template's key contains. A snapshot is
 * only loaded by the version that made it: its format has changed between patch releases (1.16.2), so during an upgrade each version
 * makes its own templates. Errors: `vmm_refused`.
 */
export function acceptedVersion(text: string, { pci }: { readonly pci: boolean }): string {
  const version = parseVersion(text);
  if (version === null)
    throw vmmRefused(`Firecracker says that its version is ${JSON.stringify(text.slice(0, 40))}`);
  const name = `Firecracker ${format(version)}`;
  if (version.numbers[0] !== 1) throw vmmRefused(`${name} has another API than 1.x`);
  if (isBefore(version, oldest)) throw vmmRefused(`${name} is older than ${oldest}`);
  const hole = holes.find(({ has, needsPci }) => has(version) && (pci || !needsPci));
  if (hole) throw vmmRefused(`${name} has a known hole, ${hole.name}, ${hole.where}`);
  return format(version);
}

/** Compares two accepted versions, for `sort`: the older one comes first. */
export function compareVersions(one: string, other: string): number {
  if (one === other) return 0;
  return isBefore(parseVersion(one) as Version, other) ? -1 : 1;
}

function parseVersion(text: string): Version | null {
  const match = /^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-([0-9A-Za-z.-]{1,32}))?$/.exec(text);
  if (!match) return null;
  const [, major, minor, patch, suffix = ''] = match;
  return { numbers: [Number(major), Number(minor), Number(patch)], suffix };
}

const format = ({ numbers, suffix }: Version) => `${numbers.join('.')}${suffix && `-${suffix}`}`;

/** Returns whether a version is older than `than`. Of two builds with the same numbers, only one without a suffix is newer. */
function isBefore(version: Version, than: string): boolean {
  const other = parseVersion(than) as Version;
  for (const [index, number] of version.numbers.entries()) {
    const limit = other.numbers[index] as number;
    if (number !== limit) return number < limit;
  }
  return version.suffix !== '' && other.suffix === '';
}
