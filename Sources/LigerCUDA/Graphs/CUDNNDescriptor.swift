import CCUDA

/// A descriptor of cuDNN's graph interface: attributes that are set, then fixed by finalising it.
///
/// Owner: the ``CUDNNPlan`` that it led to. Any thread may read it once it is finalised.
final class CUDNNDescriptor: Sendable {
    // A handle; nothing behind it changes once it is finalised.
    private nonisolated(unsafe) let handle: cudnnBackendDescriptor_t?
    private let library: CUDNN

    /// The value of an attribute, with the type that the library wants named.
    enum Value {
        case numbers([Int])
        case flag(Bool)
        /// One of an enumeration of that type.
        case choice(Int32, type: Int32)
        case descriptors([CUDNNDescriptor])
        case addresses([UnsafeMutableRawPointer?])
        case handle(cudnnHandle_t?)
    }

    /// An attribute and its value.
    typealias Attribute = (name: Int32, value: Value)

    /// A finalised descriptor.
    ///
    /// - Parameter purpose: what messages say was tried, as in "describing the scores".
    /// - Throws: `RuntimeError` if the library refuses an attribute, or the whole.
    convenience init(
        _ kind: Int32, _ attributes: [Attribute], _ library: CUDNN, _ purpose: @autoclosure () -> String
    ) throws {
        try self.init(unset: kind, library, purpose())
        for attribute in attributes { try set(attribute, purpose()) }
        try library.check(library.finalize(handle), purpose())
    }

    /// A descriptor for the library to fill in.
    init(unset kind: Int32, _ library: CUDNN, _ purpose: @autoclosure () -> String) throws {
        self.library = library
        var made: cudnnBackendDescriptor_t?
        try library.check(library.createDescriptor(kind, &made), purpose())
        handle = made
    }

    deinit { _ = library.destroyDescriptor(handle) }

    private func set(_ attribute: Attribute, _ purpose: @autoclosure () -> String) throws {
        func set<Element: BitwiseCopyable>(_ type: Int32, _ values: [Element]) throws {
            try library.check(
                library.set(handle, attribute.name, type, Int64(values.count), values), purpose())
        }
        switch attribute.value {
        case .numbers(let values): try set(CUDNN_TYPE_INT64, values.map { Int64($0) })
        case .flag(let value): try set(CUDNN_TYPE_BOOLEAN, [value])
        case .choice(let value, let type): try set(type, [value])
        case .descriptors(let values): try set(CUDNN_TYPE_BACKEND_DESCRIPTOR, values.map(\.handle))
        case .addresses(let values): try set(CUDNN_TYPE_VOID_PTR, values)
        case .handle(let value): try set(CUDNN_TYPE_HANDLE, [value])
        }
    }

    /// A number that the library works out.
    func number(_ attribute: Int32, _ purpose: @autoclosure () -> String) throws -> Int {
        var (value, found): (Int64, Int64) = (0, 0)
        try library.check(
            library.get(handle, attribute, CUDNN_TYPE_INT64, 1, &found, &value), purpose())
        return Int(value)
    }

    /// Descriptors that the library fills in, at most `count`.
    func descriptors(
        _ attribute: Int32, kind: Int32, count: Int, _ purpose: @autoclosure () -> String
    ) throws -> [CUDNNDescriptor] {
        let filled = try (0..<count).map { _ in try CUDNNDescriptor(unset: kind, library, purpose()) }
        var handles = filled.map(\.handle), found: Int64 = 0
        try library.check(
            library.get(handle, attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, Int64(count), &found, &handles),
            purpose())
        return Array(filled.prefix(Int(found)))
    }

    /// Hands a plan, this descriptor, to the handle's stream.
    func execute(_ pack: CUDNNDescriptor, _ handle: cudnnHandle_t?) -> cudnnStatus_t {
        library.execute(handle, self.handle, pack.handle)
    }
}
