internal import Platform

/// Sockets as ranks use them: one that listens, others that connect.
enum RankSocket {
    /// Addresses of a host's port, tried in order until `body` gives something.
    private static func first(
        _ host: String?, _ port: Int, _ body: (UnsafePointer<addrinfo>) -> Int32?
    ) -> Int32? {
        var hints = addrinfo()
        hints.ai_socktype = System.streamSocket
        if host == nil { hints.ai_flags = AI_PASSIVE }
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &list) == 0 else { return nil }
        defer { freeaddrinfo(list) }
        var next = list
        while let info = next {
            if let found = body(info) { return found }
            next = info.pointee.ai_next
        }
        return nil
    }

    /// Opens a socket and gives it to `body`; closed again unless that succeeds.
    private static func open(_ info: UnsafePointer<addrinfo>, _ body: (Int32) -> Bool) -> Int32? {
        let descriptor = socket(info.pointee.ai_family, info.pointee.ai_socktype, info.pointee.ai_protocol)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        if body(descriptor) { return descriptor }
        close(descriptor)
        return nil
    }

    /// A socket that listens; nil if the port is taken.
    ///
    /// - Parameters:
    ///   - host: nil for all of this machine's addresses.
    ///   - port: 0 for any that is free.
    static func listen(_ host: String?, _ port: Int, waiting: Int) -> Int32? {
        first(host, port) { info in
            open(info) { descriptor in
                var on: Int32 = 1
                setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
                return bind(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0
                    && Platform.listen(descriptor, Int32(waiting)) == 0
            }
        }
    }

    /// The port that a socket listens on.
    static func port(of descriptor: Int32) -> Int? {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var text = [CChar](repeating: 0, count: 16)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                getsockname(descriptor, address, &length) != 0
                    ? -1
                    : getnameinfo(
                        address, length, nil, 0, &text, socklen_t(text.count), System.numericService)
            }
        }
        return code == 0
            ? Int(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)) : nil
    }

    /// A connected socket; nil if nobody listens there.
    static func connect(_ host: String, _ port: Int) -> RankConnection? {
        first(host, port) { info in
            open(info) { Platform.connect($0, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 }
        }.map(prepared)
    }

    /// The next that connects, waited for so many seconds; nil if none came.
    static func accept(_ listener: Int32, within seconds: Double) -> RankConnection? {
        var wanted = pollfd(descriptor: listener)
        guard poll(&wanted, 1, Int32(max(0, seconds) * 1000)) > 0 else { return nil }
        let descriptor = Platform.accept(listener, nil, nil)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return prepared(descriptor)
    }

    /// Messages are short and waited for.
    private static func prepared(_ descriptor: Int32) -> RankConnection {
        var on: Int32 = 1
        setsockopt(
            descriptor, System.tcpProtocol, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        return RankConnection(descriptor)
    }
}
