/** Says how many of something there are: `1 branch`, `2 branches`. `many`: the plural, unless it is `one` with an s. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
