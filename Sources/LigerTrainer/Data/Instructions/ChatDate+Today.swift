internal import LigerText
internal import Platform

extension ChatDate {
    /// The day by this machine's clock, in Greenwich.
    static var today: ChatDate? {
        var (now, parts) = (time(nil), tm())
        gmtime_r(&now, &parts)
        return ChatDate(
            year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday))
    }
}
