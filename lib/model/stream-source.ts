/** Where a stream's inputs come from, read one ahead: waiting for the next one holds up nothing else. */

/** Any number of items, there or still to come. */
export type Items<Item> = AsyncIterable<Item> | Iterable<Item>;

export class StreamSource<Item> {
  readonly #iterator: AsyncIterator<Item> | Iterator<Item>;
  #next: Promise<IteratorResult<Item>> | null = null;
  /** The source has been asked and has not answered. */
  #busy = false;
  #ended = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(items: Items<Item>) {
    this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  }

  /** The next item, the same one until it is taken; null behind the last one. Never rejects. */
  peek(): Promise<IteratorResult<Item>> | null {
    if (this.#ended) return null;
    this.#next ??= this.#read();
    return this.#next;
  }

  take(): void {
    this.#next = null;
  }

  /** @throws what the source threw, which ended it */
  checkFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** Tells the source that nothing more is taken. One that is still busy with its next item is not waited for. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const closing = (async () => this.#iterator.return?.())();
    if (this.#busy) closing.catch(() => {});
    else await closing;
  }

  async #read(): Promise<IteratorResult<Item>> {
    this.#busy = true;
    try {
      const { done = false, value } = await this.#iterator.next();
      this.#ended ||= done;
      return { done, value: await value };
    } catch (error) {
      this.#ended = true;
      this.#failure = { error };
      return { done: true, value: undefined };
    } finally {
      this.#busy = false;
    }
  }
}
