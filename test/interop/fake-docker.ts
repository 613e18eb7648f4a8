import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/**
 * A fake of `docker`, which upstream's client needs on its own machine: it has every image, and runs the script of a step with bash in the
 * client's workspace, without any container.
 */
const fakeDocker = `#!/bin/bash
case "$1 $2" in
  'version '*) echo 27.0.0 ;;
  'info '*) echo '{"NCPU":2}' ;;
  'context inspect') echo default ;;
  'image inspect') echo sha256:$(printf 0%.0s {1..64}) ;;
  'rm '*) ;;
  run*)
    [ "\${*: -2}" = '-c mktemp' ] && { echo /tmp/step; exit; }
    for one in "$@"; do
      case "$one" in
        type=bind,*,target=/work) work=\${one#*source=}; work=\${work%%,*} ;;
        type=bind,*,target=/tmp/step,ro) script=\${one#*source=}; script=\${script%%,*} ;;
      esac
    done
    cd "$work" && exec bash "$script" ;;
  *) echo "the fake docker does not know $*" >&2; exit 1 ;;
esac
`;

/** Writes the fake into a directory; returns a value of `PATH` in which it comes before the real one. */
export async function withFakeDocker(directory: string): Promise<string> {
  await mkdir(join(directory, 'bin'));
  await writeFile(join(directory, 'bin/docker'), fakeDocker);
  await chmod(join(directory, 'bin/docker'), 0o755);
  return [join(directory, 'bin'), process.env.PATH].join(delimiter);
}
