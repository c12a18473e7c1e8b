/// One record of a TensorBoard event file.
///
/// A record is the length of its data in 8 bytes, the masked CRC32C of these, the data, and the data's masked CRC32C, all
/// little-endian (TensorFlow's `record_writer.h`). The data is an `Event` in Protocol Buffers (`event.proto`):
///
///     wall_time 1: double    step 2: int64    file_version 3: string
///     summary 5: { value 1: { tag 1: string, simple_value 2: float } }    session_log 7: { status 1: enum }
package struct EventRecord: Sendable {
    /// What an event says.
    package enum Content: Sendable {
        /// The first of a file.
        case version
        /// From here on, events of this step and later ones replace those that were read before.
        case start
        /// Numbers with their names.
        case numbers([(tag: String, value: Float)])
    }

    /// Seconds since 1970.
    let wallTime: Double
    let step: Int
    let content: Content

    package init(wallTime: Double, step: Int, content: Content) {
        (self.wallTime, self.step, self.content) = (wallTime, step, content)
    }

    /// The record, ready to be written.
    package var bytes: [UInt8] {
        let data = message.bytes
        let length = UInt64(data.count).littleEndianBytes
        return length + CRC32C.masked(length).littleEndianBytes + data + CRC32C.masked(data).littleEndianBytes
    }

    private var message: ProtobufMessage {
        var message = ProtobufMessage()
        message.add(1, wallTime)
        message.add(2, step)
        switch content {
        case .version: message.add(3, "brain.Event:2")
        case .start:
            var session = ProtobufMessage()
            session.add(1, 1)
            message.add(7, session)
        case .numbers(let numbers):
            var summary = ProtobufMessage()
            for (tag, value) in numbers {
                var entry = ProtobufMessage()
                entry.add(1, tag)
                entry.add(2, value)
                summary.add(1, entry)
            }
            message.add(5, summary)
        }
        return message
    }

    /// When the event in a record's data was made, if this is one of ours.
    static func wallTime(of data: ArraySlice<UInt8>) -> Double? {
        guard data.count >= 9, data.first == 1 << 3 | 1 else { return nil }
        let bits = data.dropFirst().prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let time = Double(bitPattern: bits)
        return time.isFinite ? time : nil
    }

    /// The data of each record of a file, up to the first that is cut off or damaged.
    package static func data(in bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var (records, rest) = ([ArraySlice<UInt8>](), bytes[...])
        while rest.count >= 16 {
            let length = rest.prefix(8)
            guard CRC32C.masked(length).littleEndianBytes.elementsEqual(rest.dropFirst(8).prefix(4)) else {
                break
            }
            let count = length.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard count <= UInt64(rest.count - 16) else { break }
            let data = rest.dropFirst(12).prefix(Int(count))
            let end = rest.dropFirst(12 + Int(count))
            guard CRC32C.masked(data).littleEndianBytes.elementsEqual(end.prefix(4)) else { break }
            records.append(data)
            rest = end.dropFirst(4)
        }
        return records
    }
}
