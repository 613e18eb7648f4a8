import type { IndexLanguage } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, commandContext, connect } from '../../cli/context.ts';
import { indexLanguage, jsonOption } from '../../cli/options.ts';
import { note, printDone } from '../../cli/print.ts';

/** Adds `fumehood indexers set`. */
export function addIndexersSet(indexers: Command): void {
  indexers
    .command('set')
    .description("choose the container image of a language's indexer")
    .argument('<language>', 'language', indexLanguage)
    .argument(
      '<image>',
      'an image as `fumehood run` takes it: a reference, oci:DIR, docker-archive:FILE, or one that comes with Fumehood',
    )
    .addOption(jsonOption())
    .action(set);
}

async function set(language: IndexLanguage, name: string, options: ClientOptions): Promise<void> {
  const { checkImage, parseImage, provideImage, withPlainImage } = await import('../../run/image.ts');
  const { progressLines } = await import('../../run/progress.ts');
  const { state } = commandContext();
  const client = await connect(options);
  const image = await withPlainImage(parseImage(name), state, async (plain) => {
    await checkImage(plain, note);
    return await provideImage(client, plain, state, { line: note, progress: progressLines(note) });
  });
  await client.code.setIndexer(language, image);
  printDone(options, { language, image }, `${language} is indexed by ${image}`);
}
