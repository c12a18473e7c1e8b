internal import LigerModels
internal import Platform

/// Brings the processes of a run together: every other one connects to rank 0 and says who it is.
struct RankMeeting {
    /// How long all may take to come, in seconds.
    static let patience = 60.0

    /// Who a process is.
    struct Member: Codable, Equatable {
        var job: String
        var rank: Int
        var count: Int
        var process: Int32
        var host: String
        /// Of the program that it runs.
        var program: String

        /// For messages.
        var name: String { "rank \(rank) (process \(process) on \(host))" }
    }

    /// Those that a process talks to, by rank, and who all are.
    struct Outcome {
        let connections: [Int: RankConnection]
        let members: [Member]
    }

    let place: RankPlace
    let member: Member

    init(_ place: RankPlace) throws {
        self.place = place
        member = Member(
            job: place.job, rank: place.rank, count: place.count, process: getpid(),
            host: ProcessInfo.processInfo.hostName,
            program: try Checksum.digits(ofFile: System.executablePath()))
    }

    /// - Throws: `TrainerError` (`ranksUnusable`) if some do not come in time, or run another program.
    func hold() throws -> Outcome {
        let deadline = ProgressDisplay.seconds() + Self.patience
        return place.rank == 0 ? try receive(until: deadline) : try come(until: deadline)
    }

    // MARK: Rank 0

    private func receive(until deadline: Double) throws -> Outcome {
        let listener = try listen()
        defer {
            close(listener)
            if case .file(let path, _) = place.meeting { unlink(path) }
        }
        var (connections, members) = ([Int: RankConnection](), [0: member])
        while members.count < place.count {
            let rest = deadline - ProgressDisplay.seconds()
            guard rest > 0 else { throw missing(members.keys) }
            guard let connection = RankSocket.accept(listener, within: rest),
                let hello = connection.first(within: min(rest, 5), limit: 1 << 14),
                let newcomer = Self.decode(Member.self, hello.bytes)
            else { continue }
            if let refusal = refusal(of: newcomer, members[newcomer.rank]) {
                connection.send(.failure, Array(refusal.utf8))
                throw TrainerError(.ranksUnusable, refusal, remedy: "Start all ranks by one command.")
            }
            // Of another run that meets at the same place.
            if newcomer.job != member.job { continue }
            (connections[newcomer.rank], members[newcomer.rank]) = (connection, newcomer)
        }
        let all = members.sorted { $0.key < $1.key }.map(\.value)
        for connection in connections.values { connection.send(.message, Self.encode(all)) }
        return Outcome(connections: connections, members: all)
    }

    private func refusal(of newcomer: Member, _ earlier: Member?) -> String? {
        if newcomer.job != member.job { return nil }
        if newcomer.count != place.count || !(1..<place.count).contains(newcomer.rank) {
            return "\(newcomer.name) says that there are \(newcomer.count) ranks, \(member.name) says "
                + "\(place.count)."
        }
        if let earlier { return "\(newcomer.name) and \(earlier.name) have the same number." }
        if newcomer.program != member.program {
            return "\(newcomer.name) runs another program than \(member.name): their checksums are "
                + "\(newcomer.program) and \(member.program)."
        }
        return nil
    }

    private func missing(_ present: some Collection<Int>) -> TrainerError {
        let absent = (0..<place.count).filter { !present.contains($0) }.map(String.init)
        return TrainerError(
            .ranksUnusable,
            "Of \(place.count) ranks, \(absent.joined(separator: ", ")) did not come within "
                + "\(Int(Self.patience)) s.",
            remedy: "Look for their messages. They come to \(description) of rank 0.")
    }

    private var description: String {
        switch place.meeting {
        case .address(let host, let port): "\(host):\(port), which MASTER_ADDR and MASTER_PORT say,"
        case .file(let path, _): "the address in \(path)"
        }
    }

    private func listen() throws -> Int32 {
        switch place.meeting {
        case .address(let host, let port):
            if let listener = RankSocket.listen(nil, port, waiting: place.count) { return listener }
            throw TrainerError(
                .ranksUnusable, "Rank 0 cannot listen on port \(port) for the others to come to \(host).",
                remedy: "Set MASTER_PORT to a port that is free.")
        case .file(let path, let isLocal):
            unlink(path)
            guard let listener = RankSocket.listen(isLocal ? "127.0.0.1" : nil, 0, waiting: place.count),
                let port = RankSocket.port(of: listener)
            else {
                throw TrainerError(
                    .ranksUnusable, "Rank 0 finds no port for the others to come to.",
                    remedy: "Allow processes here to listen.")
            }
            let host = isLocal ? "127.0.0.1" : member.host
            try RunDirectory.reporting {
                if let slash = path.lastIndex(of: "/") {
                    try FileSystem.createFolder(String(path[..<slash]))
                }
                try AtomicFile.write("\(host) \(port)\n", to: path)
            }
            return listener
        }
    }

    // MARK: The others

    private func come(until deadline: Double) throws -> Outcome {
        while ProgressDisplay.seconds() < deadline {
            guard let (host, port) = address, let connection = RankSocket.connect(host, port),
                connection.send(.message, Self.encode(member)),
                let answer = connection.first(within: deadline - ProgressDisplay.seconds())
            else {
                usleep(50_000)
                continue
            }
            if let members = Self.decode([Member].self, answer.bytes) {
                return Outcome(connections: [0: connection], members: members)
            }
            throw TrainerError(
                .ranksUnusable, String(decoding: answer.bytes, as: UTF8.self),
                remedy: "Start all ranks by one command.")
        }
        throw TrainerError(
            .ranksUnusable,
            "Rank \(place.rank) of \(place.count) met nobody within \(Int(Self.patience)) s at \(description).",
            remedy: "Look for the message of rank 0, and whether its machine can be reached.")
    }

    private var address: (host: String, port: Int)? {
        switch place.meeting {
        case .address(let host, let port): return (host, port)
        case .file(let path, _):
            guard let bytes = try? FileSystem.read(path) else { return nil }
            let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
            guard words.count == 2, let port = Int(words[1]) else { return nil }
            return (String(words[0]), port)
        }
    }

    // MARK: Messages

    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(value) else { preconditionFailure("a value of plain numbers") }
        return Array(data)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]?) -> Value? {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return bytes.flatMap { try? decoder.decode(type, from: Data($0)) }
    }
}
