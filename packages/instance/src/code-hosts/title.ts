/** The words before a title by which a code host knows a draft: those that are written, and the pattern of those that are read. */
export interface DraftTitles {
  readonly written: string;
  readonly read: RegExp;
}

/** Returns a title without the words that make a draft. */
export function plainTitle({ read }: DraftTitles, title: string): string {
  return title.replace(read, '');
}

/** Returns a title that makes a draft, or none: a plain title may begin with such words itself. */
export function titleOf(titles: DraftTitles, title: string, draft: boolean): string {
  const plain = plainTitle(titles, title);
  return draft ? `${titles.written}${plain}` : plain;
}
