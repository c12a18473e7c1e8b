import Synchronization

/// The memories of a tokenizer that no text has at the moment. A text takes one and gives it back, so that a word is known
/// in all texts after its first, however short they are; there are as many as texts were ever encoded at once.
final class WordMemories: Sendable {
    private let free = Mutex<[WordMemory]>([])

    /// - Cost: 8 MiB where none is free.
    func take() -> WordMemory { free.withLock { $0.popLast() } ?? WordMemory() }

    func giveBack(_ memory: WordMemory) { free.withLock { $0.append(memory) } }
}
