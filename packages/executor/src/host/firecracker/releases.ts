import { releaseUnknown } from '../../errors.ts';

/** The architectures that Firecracker is released for, by Node's name of them. */
export const architectures = { x64: 'x86_64', arm64: 'aarch64' } as const;
export type Architecture = (typeof architectures)[keyof typeof architectures];

/** A release of Firecracker for one architecture. */
export interface Release {
  readonly version: string;
  readonly architecture: Architecture;
  /** SHA-256 of its archive, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** The releases that Fumehood knows. Without `--version` the first one is installed. */
export type KnownReleases = readonly {
  readonly version: string;
  readonly sha256: Readonly<Record<Architecture, string>>;
}[];

/**
 * Each checksum is the one that Firecracker's authors publish beside the archive (`firecracker-v1.17.0-x86_64.tgz.sha256.txt`). It was
 * not read from there, but from the build files of public projects that pin the same archive: ten for each of these two agree, and
 * two say that they compared it with the published one.
 */
export const knownReleases: KnownReleases = [
  {
    version: '1.17.0',
    sha256: {
      x86_64: '06094a1108ae9e82aa4c23a775aa92758f53f1175d422270d9d6162cb9ade558',
      aarch64: 'e351ebe4f7a16b5873bbd51005d2e6767103cff4d5ebc829df2d3f95a93e2256',
    },
  },
];

/** The URL of a release's archive at Firecracker's authors. */
export function releaseUrl({ version, architecture }: Omit<Release, 'sha256'>): string {
  const project = 'https://github.com/firecracker-microvm/firecracker';
  return `${project}/releases/download/v${version}/firecracker-v${version}-${architecture}.tgz`;
}

/** The name of the binary in a release's archive. */
export function releaseMember({ version, architecture }: Omit<Release, 'sha256'>): string {
  return `release-v${version}-${architecture}/firecracker-v${version}-${architecture}`;
}

/**
 * Returns the release that was asked for: the first known one without a version. A version that is not known needs a checksum, and one
 * that is known has no other checksum. Errors: `release_unknown`.
 */
export function chooseRelease(
  asked: { readonly version: string | undefined; readonly sha256: string | undefined },
  architecture: Architecture,
  known: KnownReleases,
): Release {
  const release = known.find(({ version }) => asked.version === undefined || version === asked.version);
  const version = asked.version ?? release?.version;
  const sha256 = release?.sha256[architecture] ?? asked.sha256;
  if (version === undefined || sha256 === undefined)
    throw releaseUnknown(
      `Fumehood does not know the checksum of Firecracker ${version}`,
      `Give it with \`--sha256 HEX\`: it is in the file firecracker-v${version}-${architecture}.tgz.sha256.txt of the release. Or install ${known.map((one) => one.version).join(' or ')}, which needs none.`,
    );
  if (asked.sha256 !== undefined && asked.sha256 !== sha256)
    throw releaseUnknown(
      `--sha256 is not the checksum of Firecracker ${version} for ${architecture}, which is ${sha256}`,
      'Leave --sha256 out. To use another build, name its binary in FUMEHOOD_FIRECRACKER.',
    );
  return { version, architecture, sha256 };
}
