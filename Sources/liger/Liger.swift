@main struct Liger { static func main() {} }
